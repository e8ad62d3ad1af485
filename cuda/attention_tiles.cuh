// What attention's kernels share, forward and backward. A block owns a tile of rows (queries, or keys) and walks over tiles of the
// others. Two ways to multiply tiles that lie in shared memory:
//   SIMT, f32 and f64    16 threads a row: each has some rows of S at every 16th column, and some columns of the sums
//   mma, bf16 and tf32   a warp has 16 or 32 rows; column_warps warps share the columns of S and of the sums
// Rows in shared memory are padded to an odd number of 16-byte pieces: neither way meets a bank twice. Every f32, tf32 and bf16 tile
// fits the 99 KiB that a block has on cards of compute capability 8.6 and 8.9: mma brings heads that are too wide in slices.
#pragma once
#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>

#include "kernels/attention.hpp"
#include "mma.cuh"
#include "runtime.hpp"
#include "sspo/base/dtype.hpp"
#include "sspo/base/error.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {
namespace flash {

constexpr double log2_e = 1.4426950408889634, log_2 = 0.6931471805599453;
constexpr int widest_head = 512;
constexpr std::size_t least_shared = 99 * 1024;  // a block's on the smallest cards: CUDA C++ Programming Guide, compute capabilities 8.6, 8.9
template <class C> constexpr C infinity = std::numeric_limits<C>::infinity();

template <class T> struct ComputeOf { using type = T; };
template <> struct ComputeOf<bf16> { using type = float; };
template <class T> using Compute = typename ComputeOf<T>::type;

// ------------------------------------------------------------------------------------------- arguments

// One of q, k, v, o and their gradients. Wide: every row of every head lies in whole, aligned pieces of 16 bytes.
template <class T> struct Rows {
  T* data;
  Index batch, row, head;
  bool wide;
  SSPO_DEVICE T* at(Index b, Index h, Index i) const { return data + b * batch + h * head + i * row; }
};
template <class T> Rows<T> rows_of(T* data, const kernels::HeadStrides& s, Index head_dim) {
  const auto whole = [](Index elements) { return elements * Index(sizeof(T)) % 16 == 0; };
  return {data, s.batch, s.row, s.head,
          whole(s.batch) && whole(s.row) && whole(s.head) && whole(head_dim) && reinterpret_cast<std::uintptr_t>(data) % 16 == 0};
}
template <class T> Rows<const T> rows_of(const kernels::Heads& x, Index head_dim) {
  return rows_of(static_cast<const T*>(x.data), x.strides, head_dim);
}
template <class T> Rows<T> rows_of(const kernels::HeadsOut& x, Index head_dim) {
  return rows_of(static_cast<T*>(x.data), x.strides, head_dim);
}

template <class T> struct Problem {  // what both directions are given
  using C = Compute<T>;
  Index heads, queries, keys;
  int head_dim;
  Rows<const T> q, k, v;
  const C* mask;  // null: none
  Index mask_batch, mask_head, mask_query;
  C scale;
  bool causal;
};
template <class T, class Args> Problem<T> problem_of(const Args& a) {
  return {a.heads, a.queries, a.keys, int(a.head_dim),
          rows_of<T>(a.q, a.head_dim), rows_of<T>(a.k, a.head_dim), rows_of<T>(a.v, a.head_dim),
          static_cast<const Compute<T>*>(a.mask.data), a.mask.batch, a.mask.head, a.mask.query, Compute<T>(a.scale), a.causal};
}

inline void check_head(const char* op, Index head_dim) {
  if (head_dim > widest_head)
    fail({.op = op, .what = "the heads are too wide for the CUDA kernels",
          .expected = "1 to " + std::to_string(widest_head) + " elements a head", .got = std::to_string(head_dim),
          .hint = "use more heads, or Attention::reference: the same maths in plain ops"});
}
[[noreturn]] inline void refuse_type(const char* op, DType got) {
  fail({.op = op, .what = "no CUDA kernel for this dtype", .expected = "f32, f64 or bf16", .got = std::string(name_of(got)),
        .hint = "convert q, k and v"});
}

inline void check_shared(const char* op, DType type, Index head_dim, std::size_t bytes) {
  const DeviceLimits& most = limits();
  if (bytes > most.shared_per_block)
    fail({.op = op, .what = "heads of " + std::to_string(head_dim) + " in " + std::string(name_of(type)) + " want more shared memory than a block has",
          .expected = std::to_string(bytes) + " bytes", .got = std::to_string(most.shared_per_block) + " on " + most.name,
          .hint = "f32 and bf16 want at most 99 KiB; Attention::reference runs in any dtype on any device"});
}

// A block for each tile of `rows` of each head.
inline LaunchPlan plan_of(const char* kernel, Index heads, Index rows, int tile, int threads, std::size_t shared_bytes) {
  const Index blocks = heads * ((rows + tile - 1) / tile);
  return {.kernel = kernel, .grid = {unsigned(std::min<Index>(blocks, 0xffffffffu))},  // check_plan refuses what is too many
          .block = {unsigned(threads)}, .shared_bytes = shared_bytes};
}

// ------------------------------------------------------------------------------- the block and its tiles

struct Place {
  Index b, h, first;  // sample, head, first row of the block's tile
};
template <int ROWS> SSPO_DEVICE Place place_of_block(Index heads, Index rows, bool last_first) {
  const Index tiles = (rows + ROWS - 1) / ROWS, head = blockIdx.x / tiles, tile = blockIdx.x % tiles;
  return {head / heads, head % heads, (last_first ? tiles - 1 - tile : tile) * ROWS};
}
SSPO_DEVICE int rows_left(Index rows, Index first, int tile) {
  return first >= rows ? 0 : rows - first < tile ? int(rows - first) : tile;
}

// Hands out the block's shared memory.
template <class T> struct Carver {
  T* next = dynamic_shared<T>();
  SSPO_DEVICE T* operator()(int n) {
    T* const p = next;
    next += n;
    return p;
  }
};
// All numbers of an array of arrays, times one.
template <class X, class C> SSPO_DEVICE void scale_all(X& x, C by) {
  if constexpr (std::is_array_v<X>) {
#pragma unroll
    for (unsigned i = 0; i < std::extent_v<X>; ++i) scale_all(x[i], by);
  } else {
    x *= by;
  }
}

template <class X> SSPO_DEVICE void clear(X& x) {
  if constexpr (std::is_array_v<X>) {
#pragma unroll
    for (unsigned i = 0; i < std::extent_v<X>; ++i) clear(x[i]);
  } else {
    x = 0;
  }
}

// Turns products q·k of one tile into scores in units of log 2; -inf where a key is hidden or there is none.
template <class C> struct Scores {
  const C* mask;
  Index mask_query;
  int queries, keys;  // of the tile
  int diagonal;       // key <= query + diagonal is seen
  C scale;
  bool all_seen;
  SSPO_DEVICE C operator()(C product, int query, int key) const {
    if (all_seen) return product * scale;
    if (query >= queries || key >= keys || key > query + diagonal) return -infinity<C>;
    return product * scale + (mask ? C(log2_e) * mask[query * mask_query + key] : C(0));
  }
};
template <int QUERIES, int KEYS, class T>
SSPO_DEVICE Scores<Compute<T>> scores_of_tile(const Problem<T>& a, const Place& at, Index query, Index key) {
  constexpr int far = 1 << 20;
  const Index ahead = query - key;
  Scores<Compute<T>> s;
  s.mask = a.mask ? a.mask + at.b * a.mask_batch + at.h * a.mask_head + query * a.mask_query + key : nullptr;
  s.mask_query = a.mask_query;
  s.queries = rows_left(a.queries, query, QUERIES), s.keys = rows_left(a.keys, key, KEYS);
  s.diagonal = !a.causal || ahead > far ? far : ahead < -far ? -far : int(ahead);
  s.scale = a.scale * Compute<T>(log2_e);
  s.all_seen = !a.mask && s.queries == QUERIES && s.keys == KEYS && s.diagonal >= KEYS - 1;
  return s;
}

template <class T, int N> struct alignas(N * sizeof(T)) Vector {
  T x[N];
};
template <class V> using Bits = std::conditional_t<sizeof(V) == 16, uint4, uint2>;
template <int N, class T> SSPO_DEVICE Vector<T, N> load_vector(const T* p) {
  using V = Vector<T, N>;
  return std::bit_cast<V>(load(reinterpret_cast<const Bits<V>*>(p)));
}
template <int N, class T> SSPO_DEVICE void store_vector(T* p, const Vector<T, N>& v) {
  store(reinterpret_cast<Bits<Vector<T, N>>*>(p), std::bit_cast<Bits<Vector<T, N>>>(v));
}

// Rows `first` to first + rows of x, from `column` on, into shared memory [ROWS][ld]: zeros in the rows after them, and from head_dim
// to the tile's depth. Wide rows come by cp.async, for the caller to commit and wait for.
template <class Tile, int ROWS, class T>
SSPO_DEVICE void bring(T* to, const Rows<const T>& x, const Place& at, Index first, int rows, int head_dim, int column = 0) {
  constexpr int piece = 16 / int(sizeof(T));
  const T* const from = x.at(at.b, at.h, first) + column;
  const int lane = int(threadIdx.x) % Tile::load_lanes, depth = Tile::depth(head_dim);
  for (int r = int(threadIdx.x) / Tile::load_lanes; r < ROWS; r += Tile::threads / Tile::load_lanes) {
    const T* const row = from + r * x.row;
    const int size = r < rows ? head_dim - column : 0;
    if (x.wide)
      for (int d = lane * piece; d < depth; d += Tile::load_lanes * piece)
        cp_async16(to + r * Tile::ld + d, d < size ? row + d : from, d < size);
    else
      for (int d = lane; d < depth; d += Tile::load_lanes) to[r * Tile::ld + d] = d < size ? row[d] : T{};
  }
}

// And back, what is left of the head from `column` on, at most `columns`.
template <class Tile, class T>
SSPO_DEVICE void take(const Rows<T>& x, const Place& at, int rows, int head_dim, const T* from, int column, int columns) {
  constexpr int piece = 16 / int(sizeof(T));
  T* const to = x.at(at.b, at.h, at.first) + column;
  const int lane = int(threadIdx.x) % Tile::load_lanes, end = head_dim - column < columns ? head_dim - column : columns;
  for (int r = int(threadIdx.x) / Tile::load_lanes; r < rows; r += Tile::threads / Tile::load_lanes)
    if (x.wide)
      for (int d = lane * piece; d < end; d += Tile::load_lanes * piece)
        store_vector(to + r * x.row + d, load_vector<piece>(from + r * Tile::ld + d));
    else
      for (int d = lane; d < end; d += Tile::load_lanes) to[r * x.row + d] = from[r * Tile::ld + d];
}

// work(first row, step, stage) for each tile of `others` rows in [first, end), step by step. bring(first row, step, stage) starts to
// load what one step needs: the next while the block works, where there are two stages; else once it has worked.
template <class Tile, int STEPS, class Bring, class Work> SSPO_DEVICE void walk(Index first, Index end, Bring bring, Work work) {
  int stage = 0;
  bring(first, 0, stage);
  cp_async_commit();
  for (Index at = first; at < end; at += Tile::others) {
#pragma unroll
    for (int step = 0; step < STEPS; ++step) {
      const Index next = step + 1 < STEPS ? at : at + Tile::others;
      const int next_step = step + 1 < STEPS ? step + 1 : 0;
      cp_async_wait<0>();
      __syncthreads();  // what this step needs is here, the other stage free
      if constexpr (Tile::stages == 2) {
        if (next < end) bring(next, next_step, stage ^ 1);
        cp_async_commit();
        work(at, step, stage);
        stage ^= 1;
      } else {
        work(at, step, stage);
        __syncthreads();
        if (next < end) bring(next, next_step, stage);
        cp_async_commit();
      }
    }
  }
  cp_async_wait<0>();
  __syncthreads();
}

// ------------------------------------------------------------------------------------------------- SIMT

// Thread (group, lane) of 16 lanes a group has rows group, group + groups, ..., columns lane, lane + 16, ... of S, and columns
// 2 lane, 2 lane + 1, 2 lane + 32, ... of the sums. Wider heads have fewer rows: sums stay in registers, tiles in shared memory.
template <class T_, int WIDTH, int GROUPS = (WIDTH * sizeof(T_) > 2048) ? 8 : 16> struct SimtTile {
  using T = T_;
  static constexpr int row_bytes = WIDTH * int(sizeof(T)), width = WIDTH, lanes = 16, load_lanes = 16, stages = 1;
  static constexpr int groups = GROUPS, threads = groups * lanes;
  static constexpr int rows_each = row_bytes <= 256 ? 4 : row_bytes <= 640 ? 2 : 1, rows = rows_each * groups;
  static constexpr int others = row_bytes <= 640 ? 32 : 16, others_each = others / lanes;  // rows of a tile walked over
  static constexpr int unrolled = rows_each * others_each >= 8 ? 1 : 2;
  static constexpr int resident = row_bytes <= 640 && sizeof(T) == 4 ? 2 : 1;  // blocks of a multiprocessor: bounds registers
  static constexpr int sums_each = WIDTH / lanes, piece = 16 / int(sizeof(T)), ld = WIDTH + piece;
  static constexpr int ld_weights = others % 32 == 0 ? others + 16 : others;  // a warp's two groups, two halves of the banks
  static constexpr int own = rows * ld, walked = others * ld, weights = rows * ld_weights;  // sizes of tiles
  static SSPO_DEVICE int depth(int head_dim) { return (head_dim + 31) / 32 * 32; }
  using Products = T[rows_each][others_each];
  using Sums = T[rows_each][sums_each];
};
SSPO_DEVICE int simt_group() { return int(threadIdx.x) / 16; }
SSPO_DEVICE int simt_lane() { return int(threadIdx.x) % 16; }

// s = own otherᵀ                                                     own [rows][ld], other [others][ld]
template <class Tile, class T>
SSPO_DEVICE void simt_products(typename Tile::Products& s, const T* own, const T* other, int head_dim) {
  const int depth = Tile::depth(head_dim);
  own += simt_group() * Tile::ld, other += simt_lane() * Tile::ld;
#pragma unroll
  for (int i = 0; i < Tile::rows_each; ++i)
#pragma unroll
    for (int j = 0; j < Tile::others_each; ++j) s[i][j] = 0;
#pragma unroll Tile::unrolled
  for (int d = 0; d < depth; d += Tile::piece) {
    Vector<T, Tile::piece> a[Tile::rows_each], b[Tile::others_each];
#pragma unroll
    for (int i = 0; i < Tile::rows_each; ++i) a[i] = load_vector<Tile::piece>(own + i * Tile::groups * Tile::ld + d);
#pragma unroll
    for (int j = 0; j < Tile::others_each; ++j) b[j] = load_vector<Tile::piece>(other + j * Tile::lanes * Tile::ld + d);
#pragma unroll
    for (int e = 0; e < Tile::piece; ++e)
#pragma unroll
      for (int i = 0; i < Tile::rows_each; ++i)
#pragma unroll
        for (int j = 0; j < Tile::others_each; ++j) s[i][j] += a[i].x[e] * b[j].x[e];
  }
}

// sums += weights other                                              weights [rows][ld_weights], other [others][ld]
// The weights are those of the half warp itself: they pass through shared memory, which the caller gives anew after each barrier.
template <class Tile, class T>
SSPO_DEVICE void simt_weighted_sums(typename Tile::Sums& sums, const typename Tile::Products& weights, T* shared, const T* other,
                                    int head_dim) {
  shared += simt_group() * Tile::ld_weights, other += 2 * simt_lane();
#pragma unroll
  for (int i = 0; i < Tile::rows_each; ++i)
#pragma unroll
    for (int j = 0; j < Tile::others_each; ++j)
      shared[i * Tile::groups * Tile::ld_weights + j * Tile::lanes + simt_lane()] = weights[i][j];
  __syncwarp();
  for (int j = 0; j < Tile::others; j += Tile::piece) {
    Vector<T, Tile::piece> w[Tile::rows_each];
#pragma unroll
    for (int i = 0; i < Tile::rows_each; ++i) w[i] = load_vector<Tile::piece>(shared + i * Tile::groups * Tile::ld_weights + j);
#pragma unroll
    for (int e = 0; e < Tile::piece; ++e)
#pragma unroll
      for (int c = 0; c < Tile::width / 32; ++c) {
        if (c * 32 >= head_dim) continue;
        const Vector<T, 2> x = load_vector<2>(other + (j + e) * Tile::ld + c * 32);
#pragma unroll
        for (int i = 0; i < Tile::rows_each; ++i) {
          sums[i][2 * c] += w[i].x[e] * x.x[0];
          sums[i][2 * c + 1] += w[i].x[e] * x.x[1];
        }
      }
  }
}

template <class Tile, class T>
SSPO_DEVICE void simt_store(const Rows<T>& to, const Place& at, int rows, int head_dim, const typename Tile::Sums& sums) {
#pragma unroll
  for (int i = 0; i < Tile::rows_each; ++i) {
    const int row = simt_group() + i * Tile::groups;
    if (row >= rows) continue;
#pragma unroll
    for (int c = 0; c < Tile::width / 32; ++c) {
      const int d = 2 * simt_lane() + c * 32;
      T* const p = to.at(at.b, at.h, at.first + row) + d;
      if (to.wide && d < head_dim) {
        store_vector(p, Vector<T, 2>{sums[i][2 * c], sums[i][2 * c + 1]});
      } else {
        if (d < head_dim) p[0] = sums[i][2 * c];
        if (d + 1 < head_dim) p[1] = sums[i][2 * c + 1];
      }
    }
  }
}

// ---------------------------------------------------------------------------------------- tensor cores

// A fragment of C has, in lane 4 g + p, elements e = 0..3 at row g + 8 (e / 2), column 2 p + e % 2.
SSPO_DEVICE int fragment_row(int e) { return (lane_id() >> 2) + 8 * (e >> 1); }
SSPO_DEVICE int fragment_column(int e) { return 2 * (lane_id() & 3) + (e & 1); }

// ROW_WARPS x COLUMN_WARPS warps: warp (r, c) has HEIGHT rows of the block's tile, the c-th part of the columns of S and of the
// sums. Tall warps load each fragment of the walked tile for twice as many products. Tiles hold SLICE of a head's WIDTH columns; a
// warp's sums are its part of each slice.
template <class T_, int WIDTH, int SLICE, int HEIGHT, int ROW_WARPS, int COLUMN_WARPS, int OTHERS, int RESIDENT> struct MmaTile {
  using T = T_;
  static constexpr int slice = SLICE, slices = WIDTH / SLICE, height = HEIGHT, column_warps = COLUMN_WARPS;
  static constexpr int threads = 32 * ROW_WARPS * COLUMN_WARPS, rows = HEIGHT * ROW_WARPS, others = OTHERS, stages = 2, load_lanes = 8;
  static constexpr int resident = RESIDENT;                                // blocks of a multiprocessor: bounds registers
  static constexpr int piece = 16 / int(sizeof(T)), deep = 2 * piece;      // elements of 16 bytes; k of one mma
  static constexpr int part = OTHERS / COLUMN_WARPS, slice_part = SLICE / COLUMN_WARPS;  // columns of a warp
  static constexpr int ld = SLICE + piece, ld_weights = OTHERS + piece;
  static constexpr int own = rows * ld, walked = others * ld, weights = COLUMN_WARPS > 1 ? rows * ld_weights : 0;  // sizes of tiles
  static constexpr int tall = HEIGHT / 16;                                 // fragments on top of each other
  static SSPO_DEVICE int depth(int) { return SLICE; }
  using Products = float[tall][part / 8][4];
  using Sums = float[tall][slices * slice_part / 8][4];
  static_assert(WIDTH % SLICE == 0 && SLICE % 16 == 0 && OTHERS % 16 == 0 && slice_part % (is_tf32<T> ? 8 : 16) == 0);
  static_assert(part % 16 == 0 || (part == 8 && SLICE % (2 * deep) == 0));
};
template <class Tile> struct WarpPlace {  // of a warp in its block
  int row = int(threadIdx.x) / 32 / Tile::column_warps * Tile::height, part = int(threadIdx.x) / 32 % Tile::column_warps;
  int column = part * Tile::part, slice_column = part * Tile::slice_part;
};

// s += a bᵀ for a warp's rows and its part of the columns, one slice deep            a [height][ld], b [part][ld]
template <class Tile, class T = typename Tile::T> SSPO_DEVICE void mma_products(typename Tile::Products& s, const T* a, const T* b) {
  constexpr int piece = Tile::piece, deep = Tile::deep;
  const int lane = lane_id();
  a += (lane & 15) * Tile::ld + (lane >> 4) * piece;
  std::uint32_t x[4], y[4];
  if constexpr (Tile::part == 8) {  // one load of b: 8 columns, twice as deep as an mma
    b += (lane & 7) * Tile::ld + (lane >> 3) * piece;
#pragma unroll 4
    for (int d = 0; d < Tile::slice; d += 2 * deep) {
      ldmatrix_x4(y, b + d);
      round_fragment<T>(y);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::uint32_t column[2] = {y[2 * half], y[2 * half + 1]};
#pragma unroll
        for (int m = 0; m < Tile::tall; ++m) {
          ldmatrix_x4(x, a + m * 16 * Tile::ld + d + half * deep);
          round_fragment<T>(x);
          multiply_add<T>(s[m][0], x, column);
        }
      }
    }
  } else {  // 16 columns, as deep as an mma
    b += ((lane & 7) + (lane >> 4) * 8) * Tile::ld + (lane >> 3 & 1) * piece;
#pragma unroll
    for (int d = 0; d < Tile::slice; d += deep) {
      std::uint32_t tall[Tile::tall][4];
#pragma unroll
      for (int m = 0; m < Tile::tall; ++m) {
        ldmatrix_x4(tall[m], a + m * 16 * Tile::ld + d);
        round_fragment<T>(tall[m]);
      }
#pragma unroll
      for (int n = 0; n < Tile::part / 16; ++n) {
        ldmatrix_x4(y, b + n * 16 * Tile::ld + d);
        round_fragment<T>(y);
        const std::uint32_t left[2] = {y[0], y[1]}, right[2] = {y[2], y[3]};
#pragma unroll
        for (int m = 0; m < Tile::tall; ++m) {
          multiply_add<T>(s[m][2 * n], tall[m], left);
          multiply_add<T>(s[m][2 * n + 1], tall[m], right);
        }
      }
    }
  }
}

// f(m, n, e, row, column) for each product of a warp; row and column are those of the block's tile of S.
template <class Tile, class F> SSPO_DEVICE void each_product(const WarpPlace<Tile>& w, F f) {
#pragma unroll
  for (int m = 0; m < Tile::tall; ++m)
#pragma unroll
    for (int n = 0; n < Tile::part / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) f(m, n, e, w.row + 16 * m + fragment_row(e), w.column + 8 * n + fragment_column(e));
}

// As bf16 into shared memory [16][LD], two neighbours at a time.
template <int LD> SSPO_DEVICE void store_fragment(bf16* to, const float (&x)[4]) {
#pragma unroll
  for (int e = 0; e < 4; e += 2)
    store(reinterpret_cast<std::uint32_t*>(to + fragment_row(e) * LD + fragment_column(e)), pack_bf16(x[e], x[e + 1]));
}

// The weights W on their way to W X as the left factor. In bf16 the fragment of a product is that of a factor. In tf32 a lane has
// columns 2 p and 2 p + 1 of a product, and wants p and p + 4 of a factor: W's columns, and X's rows with them, are taken in the order
// 0 2 4 6 1 3 5 7, and the sum is the same.
// Where warps share rows, each needs all weights of its rows: through shared memory, in that order, a barrier between.
template <class Tile, class T = typename Tile::T>
SSPO_DEVICE void share_weights(T* shared, const typename Tile::Products& weights, const WarpPlace<Tile>& w) {
  if constexpr (Tile::column_warps > 1) {
    shared += w.row * Tile::ld_weights + w.column;
#pragma unroll
    for (int m = 0; m < Tile::tall; ++m)
#pragma unroll
      for (int n = 0; n < Tile::part / 8; ++n) {
        T* const to = shared + 16 * m * Tile::ld_weights + 8 * n;
        if constexpr (is_tf32<T>) {
#pragma unroll
          for (int e = 0; e < 4; ++e)
            store(reinterpret_cast<std::uint32_t*>(to + fragment_row(e) * Tile::ld_weights + (lane_id() & 3) + 4 * (e & 1)), to_tf32(weights[m][n][e]));
        } else {
          store_fragment<Tile::ld_weights>(to, weights[m][n]);
        }
      }
  }
}
// The j-th fragment of a row of them: from shared memory, which points at this lane's row, or from registers.
template <class Tile, class T = typename Tile::T>
SSPO_DEVICE void weights_fragment(std::uint32_t (&r)[4], const float (&weights)[Tile::part / 8][4], const T* shared, int j) {
  if constexpr (Tile::column_warps > 1) {
    ldmatrix_x4(r, shared + j * Tile::deep);
  } else if constexpr (is_tf32<T>) {
#pragma unroll
    for (int i = 0; i < 4; ++i) r[i] = to_tf32(weights[j][i % 2 * 2 + i / 2]);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) r[i] = pack_bf16(weights[2 * j + i / 2][i % 2 * 2], weights[2 * j + i / 2][i % 2 * 2 + 1]);
  }
}

// sums += weights x for a warp's rows and its part of a slice       shared [rows][ld_weights], x [others][ld]
template <class Tile, class T = typename Tile::T>
SSPO_DEVICE void mma_weighted_sums(typename Tile::Sums& sums, const typename Tile::Products& weights, const T* shared, const T* x,
                                   const WarpPlace<Tile>& w, int slice) {
  const int lane = lane_id(), first = slice * (Tile::slice_part / 8);
  shared += (w.row + (lane & 15)) * Tile::ld_weights + (lane >> 4) * Tile::piece;
  x += w.slice_column + (is_tf32<T> ? 2 * (lane & 3) * Tile::ld + (lane >> 2) : (lane & 15) * Tile::ld + (lane >> 4) * 8);
#pragma unroll
  for (int j = 0; j < Tile::others / Tile::deep; ++j) {
    std::uint32_t left[Tile::tall][4];
#pragma unroll
    for (int m = 0; m < Tile::tall; ++m) weights_fragment<Tile>(left[m], weights[m], shared + m * 16 * Tile::ld_weights, j);
    const T* const rows = x + j * Tile::deep * Tile::ld;
    if constexpr (is_tf32<T>) {  // no ldmatrix turns words: rows 2 p and 2 p + 1, word by word
#pragma unroll
      for (int n = 0; n < Tile::slice_part / 8; ++n) {
        std::uint32_t y[2] = {load(reinterpret_cast<const std::uint32_t*>(rows + n * 8)),
                              load(reinterpret_cast<const std::uint32_t*>(rows + Tile::ld + n * 8))};
        round_fragment<T>(y);
#pragma unroll
        for (int m = 0; m < Tile::tall; ++m) multiply_add<T>(sums[m][first + n], left[m], y);
      }
    } else {
#pragma unroll
      for (int n = 0; n < Tile::slice_part / 16; ++n) {
        std::uint32_t y[4];
        ldmatrix_x4_trans(y, rows + n * 16);
        const std::uint32_t one[2] = {y[0], y[1]}, two[2] = {y[2], y[3]};
#pragma unroll
        for (int m = 0; m < Tile::tall; ++m) {
          multiply_add<T>(sums[m][first + 2 * n], left[m], one);
          multiply_add<T>(sums[m][first + 2 * n + 1], left[m], two);
        }
      }
    }
  }
}

// A tile's sums to memory. A row of a fragment is 32 bytes of f32, a whole sector; bf16 goes by way of `tile`, [rows][ld] of shared
// memory, slice by slice, to leave in pieces of 16 bytes.
template <class Tile>
SSPO_DEVICE void mma_store(const Rows<float>& to, const Place& at, int rows, int head_dim, const typename Tile::Sums& sums, float*,
                           const WarpPlace<Tile>& w) {
  constexpr int fragments = Tile::slice_part / 8;  // of a slice
  float* const first = to.at(at.b, at.h, at.first);
#pragma unroll
  for (int m = 0; m < Tile::tall; ++m)
#pragma unroll
    for (int n = 0; n < Tile::slices * fragments; ++n)
#pragma unroll
      for (int e = 0; e < 4; e += 2) {
        const int row = w.row + 16 * m + fragment_row(e);
        const int d = n / fragments * Tile::slice + w.slice_column + n % fragments * 8 + fragment_column(e);
        if (row >= rows || d >= head_dim) continue;
        float* const p = first + row * to.row + d;
        if (to.wide) {
          store_vector(p, Vector<float, 2>{sums[m][n][e], sums[m][n][e + 1]});
        } else {
          p[0] = sums[m][n][e];
          if (d + 1 < head_dim) p[1] = sums[m][n][e + 1];
        }
      }
}
template <class Tile>
SSPO_DEVICE void mma_store(const Rows<bf16>& to, const Place& at, int rows, int head_dim, const typename Tile::Sums& sums, bf16* tile,
                           const WarpPlace<Tile>& w) {
  constexpr int fragments = Tile::slice_part / 8;
#pragma unroll
  for (int slice = 0; slice < Tile::slices; ++slice) {
    __syncthreads();  // the tile is free
#pragma unroll
    for (int m = 0; m < Tile::tall; ++m)
#pragma unroll
      for (int n = 0; n < fragments; ++n)
        store_fragment<Tile::ld>(tile + (w.row + 16 * m) * Tile::ld + w.slice_column + 8 * n, sums[m][slice * fragments + n]);
    __syncthreads();
    take<Tile>(to, at, rows, head_dim, tile, slice * Tile::slice, Tile::slice);
  }
}

}  // namespace flash
}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
