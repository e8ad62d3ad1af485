// Indices: find_outside, gather, scatter_add. The last sums in the order of j whatever the schedule: either a thread owns a column of
// y and walks j, or the items are sorted by where they go (stable, so that j still ascends) and a thread owns a run of equals.
#include "movement.hpp"

#include "strided.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {
namespace {


// --- find_outside ------------------------------------------------------------------------------------

using Position = unsigned long long;

struct FindArgs {
  Lattice<2> places;  // of the index, and of the position that it has in row-major order
  const std::int64_t* index;
  Index extent, first;
  std::uint32_t n;
  Position* least;
};

// least = the smallest position whose index lies outside [0, extent)
// Owns: thread = one index.   Costs: one read an index; atomics for those outside alone.
__global__ void __launch_bounds__(threads) find_least_outside(FindArgs a) {
  const std::uint32_t e = blockIdx.x * threads + threadIdx.x;
  if (e >= a.n) return;
  Index at[2];
  a.places.locate(e, at);
  const std::int64_t v = a.index[at[0]];
  if (v < 0 || v >= a.extent) atomicMin(a.least, Position(a.first + at[1]));
}

// --- gather ------------------------------------------------------------------------------------------

template <class E> struct GatherArgs {
  Lattice<3> places;  // of x but for the picked axis, of the index, of y
  const E* x;
  const std::int64_t* index;
  E* y;
  Index inner;
  std::uint32_t n;
};

// y[o, j, i] = x[o, index[o, j, i], i]
// Owns:  thread = one element; where a row has one index and is aligned, 16 bytes of it.
// Costs: one read and one write an element, one read an index.
template <class E> __global__ void __launch_bounds__(threads) gather_each(GatherArgs<E> a) {
  const std::uint32_t e = blockIdx.x * threads + threadIdx.x;
  if (e >= a.n) return;
  Index at[3];
  a.places.locate(e, at);
  const E* const from = a.x + at[0] + a.index[at[1]] * a.inner;
  if constexpr (sizeof(E) == 16) store(a.y + at[2], load(from));
  else a.y[at[2]] = *from;
}

// Rows of `inner` elements of type E.
template <class E> void gather_as(const Context& ctx, const View& x, const View& index, const View& y, Index inner) {
  const Index extent = x.shape[1], picks = y.shape[1];
  const Strides from{extent * inner, 0, 1}, to{picks * inner, inner, 1};
  const Walk<3> walk({y.shape[0], picks, inner}, {&from, &index.strides, &to});
  walk.in_parts(most_places, [&](const Walk<3>& part) {
    const Index n = part.size();
    const std::int64_t* const picked = index.as<std::int64_t>() + part.first[1];
    const GatherArgs<E> args{Lattice<3>(part), x.as<E>() + part.first[0], picked, y.as<E>() + part.first[2], inner, std::uint32_t(n)};
    launch(ctx.stream, one_thread_each("gather", n), gather_each<E>, args);
  });
}

bool aligned(const View& x) { return reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0; }

// --- scatter_add -------------------------------------------------------------------------------------

constexpr Index few_picks = 64;          // a walk this long takes no longer than the launches of a sort
constexpr Index many_columns = 1 << 14;  // walks enough to keep a device busy

template <class T> struct ColumnArgs {
  const T* x;                  // [O, J, I]
  const std::int64_t* index;   // [O, J, I] by strides
  Sum<T>* y;                   // [O, N, I]
  Index columns, extent, picks, inner, so, sj, si;
};

// y[o, index[o, j, i], i] += x[o, j, i], j ascending
// Owns:  thread = one column (o, i) of y.
// Costs: x and the index read once, y read and written once an element of x; J steps one after the other.
template <class T> __global__ void __launch_bounds__(threads) scatter_by_columns(ColumnArgs<T> a) {
  const Index column = Index(blockIdx.x) * threads + threadIdx.x;
  if (column >= a.columns) return;
  const Index o = column / a.inner, i = column % a.inner;
  const T* const from = a.x + o * a.picks * a.inner + i;
  const std::int64_t* const pick = a.index + o * a.so + i * a.si;
  Sum<T>* const to = a.y + o * a.extent * a.inner + i;
  for (Index j = 0; j < a.picks; ++j) {
    Sum<T>& sum = to[pick[j * a.sj] * a.inner];
    sum = Sum<T>(sum + convert<Sum<T>>(from[j * a.inner]));
  }
}

// Sorting. An item is what one index moves: a row of `width` elements of x, or one element. Its key is where it goes, in rows of y.
// Radix sort, 4 bits at a time from the lowest, stable: items of equal keys keep their order, which is that of j.
// A pass: each thread counts the digits of a run of 16 items; the counts, digit by digit, are summed up to each run; each thread
// moves its run. Costs about 50 bytes an item and pass, ⌈log2(rows of y) / 4⌉ passes: an embedding's 49408 rows take four.
constexpr int digit_bits = 4, digits = 1 << digit_bits, run = 16;

struct Items {
  Index* key;
  std::uint32_t* item;
};

struct ItemArgs {
  const std::int64_t* index;
  Divisor picks, across;    // item = (o J + j) across + i
  Index extent, so, sj, si;
  std::uint32_t n;
  Items to;
};

// key = (o N + index[o, j, i]) across + i          Owns: thread = one item.
__global__ void __launch_bounds__(threads) list_items(ItemArgs a) {
  const std::uint32_t e = blockIdx.x * threads + threadIdx.x;
  if (e >= a.n) return;
  const std::uint32_t row = a.across.quotient(e), i = e - row * a.across.d, o = a.picks.quotient(row), j = row - o * a.picks.d;
  a.to.key[e] = (o * a.extent + a.index[o * a.so + j * a.sj + i * a.si]) * Index(a.across.d) + i;
  a.to.item[e] = e;
}

struct PassArgs {
  Items from, to;
  std::uint32_t n, runs;
  int shift;
  std::uint32_t* count;         // [digits, runs]
  const std::uint32_t* before;  // of each span of counts: the sum of all before it
  std::uint32_t span;
};
SSPO_DEVICE int digit_of(Index key, int shift) { return int(key >> shift) & (digits - 1); }

// count[d, r] = how many items of run r have digit d          Owns: thread = one run.
__global__ void __launch_bounds__(threads) count_digits(PassArgs a) {
  SSPO_SHARED(std::uint32_t, mine, [digits][threads]);
  const std::uint32_t r = blockIdx.x * threads + threadIdx.x, t = threadIdx.x;
  if (r >= a.runs) return;
  for (int d = 0; d < digits; ++d) mine[d][t] = 0;
  for (std::uint32_t e = r * run; e < a.n && e < (r + 1) * run; ++e) ++mine[digit_of(a.from.key[e], a.shift)][t];
  for (int d = 0; d < digits; ++d) a.count[std::size_t(d) * a.runs + r] = mine[d][t];
}

// Moves each item behind those with lower digits, and those of its digit before it.          Owns: thread = one run.
__global__ void __launch_bounds__(threads) move_items(PassArgs a) {
  SSPO_SHARED(std::uint32_t, next, [digits][threads]);
  const std::uint32_t r = blockIdx.x * threads + threadIdx.x, t = threadIdx.x;
  if (r >= a.runs) return;
  for (int d = 0; d < digits; ++d) {
    const std::uint32_t k = std::uint32_t(d) * a.runs + r;
    next[d][t] = a.count[k] + a.before[k / a.span];
  }
  for (std::uint32_t e = r * run; e < a.n && e < (r + 1) * run; ++e) {
    const Index key = a.from.key[e];
    const std::uint32_t to = next[digit_of(key, a.shift)][t]++;
    a.to.key[to] = key;
    a.to.item[to] = a.from.item[e];
  }
}

// x[k] = the sum of x[first], ..., x[k - 1] over a span; total[block] = the sum of the whole span.
// Owns: block = one span, 256 at a time.   Costs: each number read and written once; 2 barriers for 256.
__global__ void __launch_bounds__(threads) sum_up_spans(std::uint32_t* x, std::uint32_t n, std::uint32_t span, std::uint32_t* total) {
  SSPO_SHARED(std::uint32_t, of_warp, [2][threads / 32]);
  const int lane = lane_id(), warp = int(threadIdx.x) / 32;
  const std::uint32_t first = blockIdx.x * span, end = first + span < n ? first + span : n;
  std::uint32_t carry = 0;
  int side = 0;  // the sums of this round's warps; those of the last may still be read
  for (std::uint32_t begin = first; begin < end; begin += threads, side ^= 1) {
    const std::uint32_t k = begin + threadIdx.x, mine = k < end ? x[k] : 0;
    std::uint32_t sum = mine;  // of the lanes up to this one
    for (int step = 1; step < 32; step *= 2) {
      const std::uint32_t lower = __shfl_up_sync(whole_warp, sum, unsigned(step));
      if (lane >= step) sum += lower;
    }
    if (lane == 31) of_warp[side][warp] = sum;
    __syncthreads();
    std::uint32_t before = carry;
    for (int w = 0; w < threads / 32; ++w) {
      if (w < warp) before += of_warp[side][w];
      carry += of_warp[side][w];
    }
    if (k < end) x[k] = before + sum - mine;
  }
  if (threadIdx.x == 0) total[blockIdx.x] = carry;
}

// All items in the order of their keys. `other` is as much memory again; which of the two holds the result is returned.
Items sorted(const Context& ctx, Items items, Items other, std::uint32_t n, Index keys) {
  const std::uint32_t runs = (n + run - 1) / run, counts = digits * runs;
  const std::uint32_t span = std::max<std::uint32_t>((counts + threads - 1) / threads, 4 * threads);
  const std::uint32_t spans = (counts + span - 1) / span;  // 256 at most: one block sums up their totals
  Workspace memory(ctx, (std::size_t(counts) + spans + 1) * sizeof(std::uint32_t), "scatter_add");
  std::uint32_t *const count = memory.as<std::uint32_t>(), *const total = count + counts;
  for (int shift = 0; shift < 63 && (keys - 1) >> shift > 0; shift += digit_bits) {
    const PassArgs pass{items, other, n, runs, shift, count, total, span};
    launch(ctx.stream, one_thread_each("scatter_add: count", runs), count_digits, pass);
    launch(ctx.stream, one_block_each("scatter_add: sum up", spans), sum_up_spans, count, counts, span, total);
    launch(ctx.stream, one_block_each("scatter_add: sum up", 1), sum_up_spans, total, spans, spans, total + spans);
    launch(ctx.stream, one_thread_each("scatter_add: move", runs), move_items, pass);
    std::swap(items, other);
  }
  return items;
}

template <class T> struct RunArgs {
  const T* x;       // [items, width]
  Items sorted;
  Sum<T>* y;        // [keys, width]
  Divisor width;
  std::uint32_t first, items, n;  // n: elements from item `first` on that this launch looks at
};

// y[key, c] += x[item, c] for each item of that key, in their order
// Owns:  thread = one column of the run that begins at its item, if one does.
// Costs: x read once, y read and written once a key that occurs; a run of r items takes r/16 rounds of loads.
// Needs: 64 registers, for 16 loads in flight.
template <class T> __global__ void __launch_bounds__(threads, 4) sum_runs(RunArgs<T> a) {
  constexpr int at_once = 16;
  const std::uint32_t e = blockIdx.x * threads + threadIdx.x;
  if (e >= a.n) return;
  const std::uint32_t row = a.width.quotient(e), c = e - row * a.width.d;
  std::uint32_t p = a.first + row;
  const Index key = a.sorted.key[p], width = a.width.d;
  if (p > 0 && a.sorted.key[p - 1] == key) return;
  Sum<T>* const to = a.y + key * width + c;
  Sum<T> sum = Sum<T>(*to + convert<Sum<T>>(a.x[a.sorted.item[p] * width + c]));
  ++p;
  for (int many = at_once; many == at_once; p += std::uint32_t(many)) {  // loads of up to 16 items at once, then their sum in order
    T x[at_once];
    many = 0;
    for (int k = 0; k < at_once; ++k) many += p + std::uint32_t(k) < a.items && a.sorted.key[p + std::uint32_t(k)] == key;
    for (int k = 0; k < at_once; ++k)
      if (k < many) x[k] = a.x[a.sorted.item[p + std::uint32_t(k)] * width + c];
    for (int k = 0; k < at_once; ++k)
      if (k < many) sum = Sum<T>(sum + convert<Sum<T>>(x[k]));
  }
  *to = sum;
}

template <class T> void scatter_as(const Context& ctx, const View& x, const View& index, const View& y) {
  const Index outer = y.shape[0], extent = y.shape[1], picks = x.shape[1], inner = y.shape[2];
  const Index so = index.strides[0], sj = index.strides[1], si = inner == 1 ? 0 : index.strides[2];
  const Index across = si == 0 ? 1 : inner, width = si == 0 ? inner : 1, items = outer * picks * across;
  if (picks <= few_picks || outer * across >= many_columns || items > most_places || width > most_places) {
    const std::int64_t* const from = index.as<std::int64_t>();
    const ColumnArgs<T> args{x.as<T>(), from, y.as<Sum<T>>(), outer * inner, extent, picks, inner, so, sj, si};
    return launch(ctx.stream, one_thread_each("scatter_add", outer * inner), scatter_by_columns<T>, args);
  }
  const std::uint32_t n = std::uint32_t(items);
  Workspace memory(ctx, std::size_t(n) * 2 * (sizeof(Index) + sizeof(std::uint32_t)), "scatter_add");
  Index* const keys = memory.as<Index>();
  std::uint32_t* const numbers = reinterpret_cast<std::uint32_t*>(keys + 2 * n);
  const Items listed{keys, numbers}, other{keys + n, numbers + n};
  const ItemArgs list{index.as<std::int64_t>(), Divisor(picks), Divisor(across), extent, so, sj, si, n, listed};
  launch(ctx.stream, one_thread_each("scatter_add: list", n), list_items, list);
  const Items in_order = sorted(ctx, listed, other, n, outer * extent * across);
  const std::uint32_t part = std::uint32_t(std::min<Index>(n, most_places / width));
  for (std::uint32_t first = 0; first < n; first += part) {
    const Index elements = Index(std::min(part, n - first)) * width;
    const RunArgs<T> args{x.as<T>(), in_order, y.as<Sum<T>>(), Divisor(width), first, n, std::uint32_t(elements)};
    launch(ctx.stream, one_thread_each("scatter_add", elements), sum_runs<T>, args);
  }
}

}  // namespace

Index find_outside(const Context& ctx, const View& index, Index extent) {
  Index looked_at[3];  // an axis along which the index repeats is looked at once
  for (int a = 0; a < 3; ++a)
    looked_at[a] = index.strides[std::size_t(a)] == 0 ? std::min<Index>(1, index.shape[a]) : index.shape[a];
  const Strides positions = contiguous_strides(index.shape);
  Workspace memory(ctx, sizeof(Position), "find_outside");
  Position* const least = memory.as<Position>();
  fill(ctx.stream, least, 0xff, sizeof(Position));
  Walk<2>({looked_at[0], looked_at[1], looked_at[2]}, {&index.strides, &positions}).in_parts(most_places, [&](const Walk<2>& part) {
    const Index n = part.size();
    const FindArgs args{Lattice<2>(part), index.as<std::int64_t>() + part.first[0], extent, part.first[1], std::uint32_t(n), least};
    launch(ctx.stream, one_thread_each("find_outside", n), find_least_outside, args);
  });
  Position found;
  copy_out(ctx.stream, &found, least, sizeof found);
  return found == ~Position(0) ? -1 : Index(found);
}

void gather(const Context& ctx, const View& x, const View& index, const View& y) {
  const Index inner = y.shape[2], row = inner * Index(size_of(x.dtype));
  if (index.strides[2] == 0 && row % 16 == 0 && aligned(x) && aligned(y)) return gather_as<uint4>(ctx, x, index, y, row / 16);
  switch (size_of(x.dtype)) {
    case 1: return gather_as<std::uint8_t>(ctx, x, index, y, inner);
    case 2: return gather_as<std::uint16_t>(ctx, x, index, y, inner);
    case 4: return gather_as<std::uint32_t>(ctx, x, index, y, inner);
    default: return gather_as<std::uint64_t>(ctx, x, index, y, inner);
  }
}

void scatter_add(const Context& ctx, const View& x, const View& index, const View& y) {
  if (x.shape.numel() == 0) return;
  visit(x.dtype, [&]<class T>(std::type_identity<T>) {
    if constexpr (!std::is_same_v<T, bool>) scatter_as<T>(ctx, x, index, y);
  });
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
