// What the forward passes share: where rows lie, workspaces, blocks, masks.
#pragma once
#include "cpu/attention.hpp"
#include "cpu/isa/attention_tiles.hpp"

namespace sspo::cpu::SSPO_ISA {
namespace {

template <class T> struct ComputeOf { using type = T; };
template <> struct ComputeOf<bf16> { using type = float; };
template <class T> using Compute = typename ComputeOf<T>::type;

constexpr double log2_e = 1.4426950408889634, log_2 = 0.6931471805599453;
template <class C> constexpr C infinity = C(__builtin_inf());

template <class T>
const T* rows_at(const Heads& x, Index b, Index row, Index h) {
  return static_cast<const T*>(x.data) + b * x.strides.batch + row * x.strides.row + h * x.strides.head;
}
template <class T>
T* rows_at(const HeadsOut& x, Index b, Index row, Index h) {
  return static_cast<T*>(x.data) + b * x.strides.batch + row * x.strides.row + h * x.strides.head;
}
template <class C>
const C* mask_at(const AttentionMask& m, Index b, Index h, Index query, Index key) {
  return static_cast<const C*>(m.data) + b * m.batch + h * m.head + query * m.query + key;
}

template <class C>
Pack<C> lane_numbers() {
  Pack<C> r;
  for (int i = 0; i < Pack<C>::size; ++i) r.v[i] = C(i);
  return r;
}

// Hands out pieces of a workspace, each on a cache line of its own. Run once without memory to learn the size.
struct Carver {
  char* base;
  std::size_t used = 0;
  template <class C>
  C* take(Index n) {
    C* p = base ? reinterpret_cast<C*>(base + used) : nullptr;
    used += std::size_t(round_up(n * Index(sizeof(C)), cache_line));
    return p;
  }
};

// A task's queries and its step over the keys. Many queries: k and v are fetched once for all of them.
struct ForwardBlocks {
  Index queries, keys;
};
template <class C>
ForwardBlocks forward_blocks(const AttentionArgs& a, Index keys = 64) {
  constexpr Index most_queries = 256, few_queries = 128, enough_tasks = 16;
  const Index wanted = blocks(enough_tasks, a.batch * a.heads);  // blocks a head
  const Index n = most(blocks(a.queries, most_queries), least(wanted, blocks(a.queries, few_queries)));
  return {round_up(blocks(a.queries, n), strip<C>), blocks(a.keys, most(1, (a.keys + keys / 2) / keys))};  // about `keys` keys
}

// S += log2(e) mask for `width` queries from `query` on and the keys from `key` on.        s [keys][strip]
template <class C>
void add_mask(const AttentionArgs& a, Index b, Index h, Index query, Index width, Index key, Index keys, C* s,
              C* panel) {
  using P = Pack<C>;
  const C* mask = mask_at<C>(a.mask, b, h, query, key);
  if (a.mask.query != 0) {
    gather_columns<C>(mask, a.mask.query, width, keys, panel, C(log2_e), panel, Index(0));
    for (Index i = 0; i < keys * strip<C>; i += P::size) (P::load(s + i) + P::load(panel + i)).store(s + i);
  } else {
    for (Index j = 0; j < keys; ++j)
      for (Index i = 0; i < strip<C>; i += P::size) {
        C* p = s + j * strip<C> + i;
        (P::load(p) + P(C(log2_e) * mask[j])).store(p);
      }
  }
}

// S = -inf where the key lies after the query.                                              s [keys][strip]
template <class C>
void hide_later_keys(Index query, Index key, Index keys, C* s) {
  using P = Pack<C>;
  for (Index j = most(0, query - key); j < keys; ++j)
    for (int l = 0; l < tile_packs; ++l) {
      C* p = s + j * strip<C> + l * P::size;
      const P lane = lane_numbers<C>() + P(C(l * P::size));
      select<C>(lane < P(C(key + j - query)), P(-infinity<C>), P::load(p)).store(p);
    }
}

}  // namespace
}  // namespace sspo::cpu::SSPO_ISA
