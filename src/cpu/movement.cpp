#include "cpu/movement.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "cpu/parallel.hpp"

namespace sspo::cpu {
namespace {

constexpr Index task_size = 32768;  // elements a task touches, about

Index tasks_for(Index items, Index per_task) { return (items + per_task - 1) / per_task; }
Index rows_per_task(Index row) { return std::max<Index>(1, task_size / std::max<Index>(1, row)); }

// The type in which elements of type T are summed.
template <class T> struct SumOf { using type = T; };
template <> struct SumOf<bf16> { using type = float; };
template <> struct SumOf<f16> { using type = float; };
template <class T> using Sum = typename SumOf<T>::type;

template <class T> inline Sum<T> load(T x) {
  if constexpr (std::is_same_v<T, Sum<T>>) return x;
  else return to_float(x);
}

template <class F>
void floating(DType t, F&& f) {
  visit(t, [&]<class T>(std::type_identity<T> type) {
    if constexpr (is_floating(dtype_of<T>)) f(type);
  });
}

}  // namespace

// --- indices ---------------------------------------------------------------------------------------

Index find_outside(const Context& ctx, const View& index, Index extent) {
  // An axis along which the index repeats is looked at once.
  Index n[3], at[3];
  for (int a = 0; a < 3; ++a) n[a] = index.strides[std::size_t(a)] == 0 ? std::min<Index>(1, index.shape[a]) : index.shape[a];
  for (int a = 0; a < 3; ++a) at[a] = index.strides[std::size_t(a)];
  const std::int64_t* values = index.as<std::int64_t>();
  constexpr Index none = std::numeric_limits<Index>::max();
  Workspace found(ctx, std::size_t(ctx.threads) * sizeof(Index));
  Index* first = found.as<Index>();  // by worker: the least position is the same whoever finds it
  std::fill_n(first, ctx.threads, none);
  const Index rows = n[0] * n[1], step = rows_per_task(n[2]);
  parallel_for(ctx, tasks_for(rows, step), [&](Index task, int worker) {
    for (Index row = task * step; row < std::min(rows, (task + 1) * step); ++row) {
      const Index o = row / n[1], j = row % n[1];
      const std::int64_t* v = values + o * at[0] + j * at[1];
      for (Index i = 0; i < n[2]; ++i)
        if (v[i * at[2]] < 0 || v[i * at[2]] >= extent) {
          first[worker] = std::min(first[worker], (o * index.shape[1] + j) * index.shape[2] + i);
          break;
        }
    }
  });
  const Index least = *std::min_element(first, first + ctx.threads);
  return least == none ? -1 : least;
}

// y[o,j,i] = x[o, index[o,j,i], i]. A task owns some rows (o, j); one read and one write an element.
void gather(const Context& ctx, const View& x, const View& index, const View& y) {
  const Index extent = x.shape[1], picks = y.shape[1], inner = y.shape[2], rows = y.shape[0] * picks;
  const Index so = index.strides[0], sj = index.strides[1], si = index.strides[2];
  const std::int64_t* from = index.as<std::int64_t>();
  const auto move = [&]<class T>(std::type_identity<T>) {
    const Index step = rows_per_task(inner);
    parallel_for(ctx, tasks_for(rows, step), [&](Index task, int) {
      for (Index row = task * step; row < std::min(rows, (task + 1) * step); ++row) {
        const Index o = row / picks, j = row % picks;
        const std::int64_t* pick = from + o * so + j * sj;
        const T* source = x.as<T>() + o * extent * inner;
        T* to = y.as<T>() + row * inner;
        if (si == 0) {
          if (inner > 0) std::memcpy(to, source + pick[0] * inner, std::size_t(inner) * sizeof(T));
        } else {
          for (Index i = 0; i < inner; ++i) to[i] = source[pick[i * si] * inner + i];
        }
      }
    });
  };
  switch (size_of(x.dtype)) {
    case 1: return move(std::type_identity<std::uint8_t>{});
    case 2: return move(std::type_identity<std::uint16_t>{});
    case 4: return move(std::type_identity<std::uint32_t>{});
    default: return move(std::type_identity<std::uint64_t>{});
  }
}

// y[o, index[o,j,i], i] += x[o,j,i]. A task owns some columns (o, i) of y and adds to them in the order
// of j: no two tasks meet, and the sums are always made in one order.
void scatter_add(const Context& ctx, const View& x, const View& index, const View& y) {
  const Index extent = y.shape[1], picks = x.shape[1], inner = y.shape[2];
  const Index so = index.strides[0], sj = index.strides[1], si = index.strides[2];
  const std::int64_t* to_row = index.as<std::int64_t>();
  constexpr Index width = 256;
  const Index across = tasks_for(inner, width);
  visit(x.dtype, [&]<class T>(std::type_identity<T>) {
    if constexpr (!std::is_same_v<T, bool>)
      parallel_for(ctx, y.shape[0] * across, [&](Index task, int) {
        const Index o = task / across, begin = task % across * width, end = std::min(inner, begin + width);
        Sum<T>* to = y.as<Sum<T>>() + o * extent * inner;
        for (Index j = 0; j < picks; ++j) {
          const T* from = x.as<T>() + (o * picks + j) * inner;
          const std::int64_t* pick = to_row + o * so + j * sj;
          if (si == 0) {
            Sum<T>* row = to + pick[0] * inner;
            for (Index i = begin; i < end; ++i) row[i] = Sum<T>(row[i] + load(from[i]));
          } else {
            for (Index i = begin; i < end; ++i) {
              Sum<T>& sum = to[pick[i * si] * inner + i];
              sum = Sum<T>(sum + load(from[i]));
            }
          }
        }
      });
  });
}

// --- images [B, H, W, C] ---------------------------------------------------------------------------

namespace {

// What position p of the large or small grid is made of: two neighbours and their weights.
struct Taps {
  Index low, high;
  double low_weight, high_weight;
  double weight(Index i) const { return (i == low ? low_weight : 0) + (i == high ? high_weight : 0); }
};
Taps taps_at(Index p, Index from, Index to, bool bilinear) {
  if (!bilinear) {
    const Index i = p * from / to;
    return {i, i, 1, 0};
  }
  const double at = std::max(0.0, (double(p) + 0.5) * double(from) / double(to) - 0.5);
  const Index low = std::min(Index(at), from - 1), high = std::min(low + 1, from - 1);
  return {low, high, 1 - (at - double(low)), at - double(low)};
}

struct Range {
  Index begin, end;
};
// Positions whose taps touch i: a range, because taps only move forward.
void find_readers(const Taps* taps, Index to, Range* readers, Index from) {
  for (Index i = 0; i < from; ++i) readers[i] = {to, 0};
  for (Index p = 0; p < to; ++p)
    for (const Index i : {taps[p].low, taps[p].high}) {
      readers[i].begin = std::min(readers[i].begin, p);
      readers[i].end = p + 1;
    }
}

constexpr Index lanes = 64;  // channels summed at a time

// y[c] = Σ_s w_s x_s[c] / divisor over `channels` channels; for_each_source(add) calls add(x_s, w_s) in a fixed order.
template <class T, class F>
inline void weighted_sum(T* y, Index channels, Sum<T> divisor, F&& for_each_source) {
  for (Index c = 0; c < channels; c += lanes) {
    const Index width = std::min(lanes, channels - c);
    Sum<T> sum[lanes] = {};
    for_each_source([&](const T* x, Sum<T> w) {
      for (Index k = 0; k < width; ++k) sum[k] += w * load(x[c + k]);
    });
    for (Index k = 0; k < width; ++k) y[c + k] = T(sum[k] / divisor);
  }
}

}  // namespace

// A task owns one row of y. Nearest: one read, one write an element; bilinear: four reads, 8 FLOPs.
void resize(const Context& ctx, const View& x, const View& y, bool bilinear) {
  const Index H = x.shape[1], W = x.shape[2], C = x.shape[3], to_h = y.shape[1], to_w = y.shape[2];
  floating(x.dtype, [&]<class T>(std::type_identity<T>) {
    using S = Sum<T>;
    Workspace columns(ctx, std::size_t(to_w) * sizeof(Taps));
    Taps* column = columns.as<Taps>();
    for (Index q = 0; q < to_w; ++q) column[q] = taps_at(q, W, to_w, bilinear);
    parallel_for(ctx, x.shape[0] * to_h, [&](Index task, int) {
      const Index b = task / to_h, p = task % to_h;
      const Taps row = taps_at(p, H, to_h, bilinear);
      const T* upper = x.as<T>() + (b * H + row.low) * W * C;
      const T* lower = x.as<T>() + (b * H + row.high) * W * C;
      T* to = y.as<T>() + task * to_w * C;
      for (Index q = 0; q < to_w; ++q, to += C) {
        const Index left = column[q].low * C, right = column[q].high * C;
        if (!bilinear) {
          std::copy_n(upper + left, C, to);
          continue;
        }
        const S u = S(row.low_weight), l = S(row.high_weight), a = S(column[q].low_weight), z = S(column[q].high_weight);
        for (Index c = 0; c < C; ++c)
          to[c] = T(u * (a * load(upper[left + c]) + z * load(upper[right + c])) + l * (a * load(lower[left + c]) + z * load(lower[right + c])));
      }
    });
  });
}

// A task owns one row of y, and sums for each pixel what the pixels that read it sent back.
void resize_adjoint(const Context& ctx, const View& g, const View& y, bool bilinear) {
  const Index H = y.shape[1], W = y.shape[2], C = y.shape[3], from_h = g.shape[1], from_w = g.shape[2];
  Workspace memory(ctx, std::size_t(from_h + from_w) * sizeof(Taps) + std::size_t(H + W) * sizeof(Range));
  Taps *rows = memory.as<Taps>(), *columns = rows + from_h;
  Range *row_readers = reinterpret_cast<Range*>(columns + from_w), *column_readers = row_readers + H;
  for (Index p = 0; p < from_h; ++p) rows[p] = taps_at(p, H, from_h, bilinear);
  for (Index q = 0; q < from_w; ++q) columns[q] = taps_at(q, W, from_w, bilinear);
  find_readers(rows, from_h, row_readers, H);
  find_readers(columns, from_w, column_readers, W);
  floating(y.dtype, [&]<class T>(std::type_identity<T>) {
    using S = Sum<T>;
    parallel_for(ctx, y.shape[0] * H, [&](Index task, int) {
      const Index b = task / H, h = task % H;
      const T* image = g.as<T>() + b * from_h * from_w * C;
      for (Index w = 0; w < W; ++w)
        weighted_sum(y.as<T>() + (task * W + w) * C, C, S(1), [&](auto&& add) {
          for (Index p = row_readers[h].begin; p < row_readers[h].end; ++p)
            for (Index q = column_readers[w].begin; q < column_readers[w].end; ++q)
              add(image + (p * from_w + q) * C, S(rows[p].weight(h) * columns[q].weight(w)));
        });
    });
  });
}

// A task owns one row of y; kernel² reads an element, from cache but for the first.
void avg_pool(const Context& ctx, const View& x, const View& y, Index kernel, Index stride) {
  const Index H = x.shape[1], W = x.shape[2], C = x.shape[3], to_h = y.shape[1], to_w = y.shape[2];
  floating(x.dtype, [&]<class T>(std::type_identity<T>) {
    using S = Sum<T>;
    parallel_for(ctx, x.shape[0] * to_h, [&](Index task, int) {
      const Index b = task / to_h, p = task % to_h;
      for (Index q = 0; q < to_w; ++q)
        weighted_sum(y.as<T>() + (task * to_w + q) * C, C, S(kernel * kernel), [&](auto&& add) {
          for (Index h = p * stride; h < p * stride + kernel; ++h)
            for (Index w = q * stride; w < q * stride + kernel; ++w) add(x.as<T>() + ((b * H + h) * W + w) * C, S(1));
        });
    });
  });
}

void avg_pool_adjoint(const Context& ctx, const View& g, const View& y, Index kernel, Index stride) {
  const Index H = y.shape[1], W = y.shape[2], C = y.shape[3], from_h = g.shape[1], from_w = g.shape[2];
  // Windows that hold position i: p with p stride <= i < p stride + kernel.
  const auto windows = [&](Index i, Index count) {
    return Range{i < kernel ? 0 : (i - kernel) / stride + 1, std::min(i / stride + 1, count)};
  };
  floating(y.dtype, [&]<class T>(std::type_identity<T>) {
    using S = Sum<T>;
    parallel_for(ctx, y.shape[0] * H, [&](Index task, int) {
      const Index b = task / H, h = task % H;
      for (Index w = 0; w < W; ++w)
        weighted_sum(y.as<T>() + (task * W + w) * C, C, S(kernel * kernel), [&](auto&& add) {
          const Range rows = windows(h, from_h), columns = windows(w, from_w);
          for (Index p = rows.begin; p < rows.end; ++p)
            for (Index q = columns.begin; q < columns.end; ++q) add(g.as<T>() + ((b * from_h + p) * from_w + q) * C, S(1));
        });
    });
  });
}

}  // namespace sspo::cpu
