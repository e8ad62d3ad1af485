// Three ways: one memory copy where both sides are one stretch of one dtype; tiles through shared memory where the neighbours in
// `from` are not the neighbours in `to`; else every element by itself or in packs.
#include "copy.hpp"

#include "strided.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {
namespace {

constexpr int tile = 32;
constexpr Index short_axis = 8;  // an axis up to this long keeps the elements of its neighbours' sectors within one warp: no tile

template <class To, class From> inline constexpr int pack_of = 16 / int(sizeof(To) > sizeof(From) ? sizeof(To) : sizeof(From));

template <class To, class From> struct CopyArgs {
  Lattice<2> places;
  const From* from;
  To* to;
  std::uint32_t n;
  bool packed, splat;  // splat: a pack of `to` is one element of `from`
};

// to[e] = from[e]
// Owns:  thread = V elements: a pack, or every 256th of the block's 256 V.
// Costs: each element read and written once; strided elements their sectors.
template <class To, class From> __global__ void __launch_bounds__(threads) copy_each(CopyArgs<To, From> a) {
  constexpr int V = pack_of<To, From>;
  const std::uint32_t base = blockIdx.x * (threads * V);
  const std::uint32_t first = base + threadIdx.x * (a.packed ? V : 1), step = a.packed ? 1 : threads;
  Index at[2];
  if (a.packed && first + V <= a.n) {
    From x[V];
    To y[V];
    a.places.locate(first, at);
    if (a.splat) {
      const From one = a.from[at[0]];
      for (int i = 0; i < V; ++i) x[i] = one;
    } else {
      read_pack(a.from + at[0], x);
    }
    for (int i = 0; i < V; ++i) y[i] = convert<To>(x[i]);
    write_pack(a.to + at[1], y);
    return;
  }
  for (int i = 0; i < V; ++i) {
    const std::uint32_t e = first + std::uint32_t(i) * step;
    if (e >= a.n) return;
    a.places.locate(e, at);
    a.to[at[1]] = convert<To>(a.from[at[0]]);
  }
}

template <class To, class From> struct TransposeArgs {
  Lattice<4> tiles;  // at: from, to, and the tile's first place along u and v
  const From* from;
  To* to;
  Index u_extent, v_extent;         // u: the axis along which `to` is one line; v: that of `from`
  Index from_u_stride, to_v_stride;
};

template <std::size_t bytes> struct RawOf { using type = std::uint8_t; };
template <> struct RawOf<2> { using type = std::uint16_t; };
template <> struct RawOf<4> { using type = std::uint32_t; };
template <> struct RawOf<8> { using type = std::uint64_t; };

// to[u, v] = from[u, v] where `from` is one line along v, `to` along u
// Owns:  block = one tile of 32 by 32; warp w = its rows w, w + 8, ...
// Costs: each element read and written once, whole sectors on both sides.  Needs: 32 rows a word longer than a row,
//        so that a column lies in 32 banks.
template <class To, class From> __global__ void __launch_bounds__(threads) copy_transposed(TransposeArgs<To, From> a) {
  using Raw = typename RawOf<sizeof(From)>::type;
  constexpr int pitch = tile + (sizeof(Raw) < 4 ? 4 / int(sizeof(Raw)) : 1);
  SSPO_SHARED(Raw, kept, [tile][pitch]);  // [u][v]
  const int lane = lane_id(), warp = int(threadIdx.x) / 32;
  Index at[4];
  a.tiles.locate(blockIdx.x, at);
  const Index us = a.u_extent - at[2], vs = a.v_extent - at[3];
  for (int u = warp; u < tile; u += threads / 32)  // 1. along v
    if (u < us && lane < vs) kept[u][lane] = std::bit_cast<Raw>(a.from[at[0] + Index(u) * a.from_u_stride + lane]);
  __syncthreads();
  for (int v = warp; v < tile; v += threads / 32)  // 2. along u
    if (v < vs && lane < us) a.to[at[1] + Index(v) * a.to_v_stride + lane] = convert<To>(std::bit_cast<From>(kept[lane][v]));
}

// The axis along which `from` is one line where `to` is one along axis 0, or 0: no tiles.
int transposed_axis(const Walk<2>& w) {
  if (w.stride[1][0] != 1 || w.stride[0][0] == 1 || w.stride[0][0] == 0 || w.extent[0] <= short_axis) return 0;
  for (int a = 1; a < w.rank; ++a)
    if (w.stride[0][a] == 1 && w.extent[a] > short_axis) return a;
  return 0;
}

Walk<4> tiles_of(const Walk<2>& w, int v) {
  Walk<4> t;
  t.rank = w.rank;
  for (int a = 0; a < w.rank; ++a) {
    const bool tiled = a == 0 || a == v;
    t.extent[a] = tiled ? (w.extent[a] + tile - 1) / tile : w.extent[a];
    for (int side = 0; side < 2; ++side) t.stride[side][a] = w.stride[side][a] * (tiled ? tile : 1);
  }
  t.stride[2][0] = t.stride[3][v] = tile;
  return t;
}

template <class To, class From> void copy_part(const Context& ctx, const Walk<2>& w, const From* from, To* to) {
  constexpr int V = pack_of<To, From>;
  const From* const x = from + w.first[0];
  To* const y = to + w.first[1];
  if (const int v = transposed_axis(w)) {
    const Walk<4> tiles = tiles_of(w, v);
    const TransposeArgs<To, From> args{Lattice<4>(tiles), x, y, w.extent[0], w.extent[v], w.stride[0][0], w.stride[1][v]};
    return launch(ctx.stream, one_block_each("copy_transposed", tiles.size()), copy_transposed<To, From>, args);
  }
  const Index n = w.size();
  const bool splat = w.stride[0][0] == 0;
  const bool packed = w.packs(1, to, sizeof(To), V) && (splat || w.packs(0, from, sizeof(From), V));
  const CopyArgs<To, From> args{Lattice<2>(w), x, y, std::uint32_t(n), packed, splat};
  launch(ctx.stream, one_thread_each("copy_each", (n + V - 1) / V), copy_each<To, From>, args);
}

template <class To, class From> void copy_all(const Context& ctx, const Walk<2>& w, const void* from, void* to) {
  w.in_parts(most_places, [&](const Walk<2>& part) { copy_part(ctx, part, static_cast<const From*>(from), static_cast<To*>(to)); });
}

// Neighbours in `to` innermost: writes cost whole sectors, reads may come from the cache.
Walk<2> walk_in_order_of(const View& from, const View& to) {
  int order[max_rank];
  for (int a = 0; a < max_rank; ++a) order[a] = a;
  const auto step = [&](int a) {
    const Index s = to.strides[std::size_t(a)];
    return s < 0 ? -s : s;
  };
  std::stable_sort(order, order + to.shape.rank(), [&](int a, int b) { return step(a) > step(b); });
  return Walk<2>(to.shape, {&from.strides, &to.strides}, order);
}

}  // namespace

void copy(const Context& ctx, const View& from, const View& to) {
  const Walk<2> w = walk_in_order_of(from, to);
  const std::size_t item = size_of(to.dtype);
  if (from.dtype == to.dtype) {
    if (w.rank == 1 && w.stride[0][0] == 1 && w.stride[1][0] == 1 && w.size() > 0)
      return copy_within(ctx.stream, to.data, from.data, std::size_t(w.size()) * item);
    switch (item) {
      case 1: return copy_all<std::uint8_t, std::uint8_t>(ctx, w, from.data, to.data);
      case 2: return copy_all<std::uint16_t, std::uint16_t>(ctx, w, from.data, to.data);
      case 4: return copy_all<std::uint32_t, std::uint32_t>(ctx, w, from.data, to.data);
      default: return copy_all<std::uint64_t, std::uint64_t>(ctx, w, from.data, to.data);
    }
  }
  visit(from.dtype, [&]<class From>(std::type_identity<From>) {
    visit(to.dtype, [&]<class To>(std::type_identity<To>) {
      if constexpr (!std::is_same_v<To, From>) copy_all<To, From>(ctx, w, from.data, to.data);
    });
  });
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
