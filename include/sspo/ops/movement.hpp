// Movement: which element goes where. reshape, permute, expand, slice and flip are views: they share
// storage and cost nothing (reshape copies if the layout forces it); the others copy.
//   Tensor t = permute(x, {0, 3, 1, 2});           // channels last -> channels first
//   Tensor h = cat({up, skip}, -1);                // [B, H, W, C1 + C2]
// Every one is linear, so its derivative is its adjoint: slice <-> pad, gather <-> scatter_add, ...
#pragma once
#include "sspo/ops/create.hpp"
#include "sspo/ops/op.hpp"
#include "sspo/ops/sample.hpp"

namespace sspo {

enum class Resize { nearest, bilinear };
struct PadAmount { Index before = 0, after = 0; };

Tensor contiguous(Tensor x, Site at = Site::current());
Tensor reshape(Tensor x, std::initializer_list<Index> shape, Site at = Site::current());  // one extent may be -1: the rest
Tensor reshape(Tensor x, const std::vector<Index>& shape, Site at = Site::current());
Tensor reshape(Tensor x, const Shape& shape, Site at = Site::current());
Tensor permute(Tensor x, std::vector<int> axes, Site at = Site::current());
Tensor transpose(Tensor x, int a = -2, int b = -1, Site at = Site::current());
Tensor expand(Tensor x, const Shape& shape, Site at = Site::current());
Tensor slice(Tensor x, int axis, Index begin, Index end, Index step = 1, Site at = Site::current());  // -1: the last
Tensor flip(Tensor x, std::vector<int> axes, Site at = Site::current());
Tensor cat(Tensors parts, int axis, Site at = Site::current());
Tensor stack(Tensors parts, int axis, Site at = Site::current());
Tensor pad(Tensor x, std::vector<PadAmount> amounts, double value = 0, Site at = Site::current());  // the last axes
// Indices are i64 or i32, from 0 to the extent of the axis; one outside is an Error that names it.
Tensor gather(Tensor x, Tensor index, int axis, Site at = Site::current());        // y[i][j][k] = x[i][index[i][j][k]][k]
Tensor scatter_add(Tensor values, Tensor index, int axis, Index extent, Site at = Site::current());  // its adjoint
Tensor index_select(Tensor x, Tensor index, int axis, Site at = Site::current());  // index [K]
Tensor embedding(Tensor table, Tensor ids, Site at = Site::current());             // [V, D], ids of any shape -> [..., D]
Tensor resize(Tensor x, Index height, Index width, Resize mode, Site at = Site::current());  // [B, H, W, C]
Tensor avg_pool(Tensor x, Index kernel, Index stride = 0, Site at = Site::current());        // [B, H, W, C]; stride 0: kernel

struct Contiguous {
  static constexpr OpInfo info{"contiguous", "x, copied row-major"};
  static Tensor forward(const Tensor& x);
  static Tensor vjp(const Tensor& g, Meta) { return g; }
  static std::vector<Sample<NoAttrs>> samples();
};

struct Reshape {
  struct Attrs { Shape shape; };
  static constexpr OpInfo info{"reshape", "the same elements in row-major order"};
  static Tensor forward(const Attrs& a, const Tensor& x);
  static Tensor vjp(const Tensor& g, Meta x) { return reshape(g, x.shape); }
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct Permute {
  struct Attrs { std::vector<int> axes; };  // result axis i is input axis axes[i]
  static constexpr OpInfo info{"permute", "axes in another order"};
  static Tensor forward(const Attrs& a, const Tensor& x);
  static Tensor vjp(const Attrs& a, const Tensor& g, Meta) {
    std::vector<int> inverse(a.axes.size());
    for (std::size_t i = 0; i < a.axes.size(); ++i) inverse[std::size_t(a.axes[i])] = int(i);
    return permute(g, inverse);
  }
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct Expand {
  struct Attrs { Shape shape; };
  static constexpr OpInfo info{"expand", "extents of 1 repeated"};
  static Tensor forward(const Attrs& a, const Tensor& x);
  static Tensor vjp(const Tensor& g, Meta) { return g; }  // backward sums g over the stretched axes
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct Slice {
  struct Attrs { int axis; Index begin, end, step; };
  static constexpr OpInfo info{"slice", "x[begin : end : step] along an axis"};
  static Tensor forward(const Attrs& a, const Tensor& x);
  static Tensor vjp(const Attrs& a, const Tensor& g, Meta x);
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

// The adjoint of slice: g placed into zeros.
struct Unslice {
  struct Attrs { Slice::Attrs slice; Index extent; };
  static constexpr OpInfo info{"unslice", "zeros with g at [begin : end : step]"};
  static Tensor forward(const Attrs& a, const Tensor& g);
  static Tensor vjp(const Attrs& a, const Tensor& g, Meta) { return slice(g, a.slice.axis, a.slice.begin, a.slice.end, a.slice.step); }
  static std::vector<Sample<Attrs>> samples();
};

struct Flip {
  struct Attrs { std::vector<int> axes; };
  static constexpr OpInfo info{"flip", "axes reversed"};
  static Tensor forward(const Attrs& a, const Tensor& x);
  static Tensor vjp(const Attrs& a, const Tensor& g, Meta) { return flip(g, a.axes); }
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct Cat {
  struct Attrs { int axis; };
  static constexpr OpInfo info{"cat", "parts joined along an axis"};
  static Tensor forward(const Attrs& a, std::span<const Tensor> parts);
  static Tensors vjp(const Attrs& a, const Tensor& g, std::span<const Meta> parts);
  // Any number of inputs: cat() records it by hand, and its samples are lists of parts.
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct Pad {
  struct Attrs { std::vector<PadAmount> amounts; double value; };  // one per axis
  static constexpr OpInfo info{"pad", "x inside a constant frame"};
  static Tensor forward(const Attrs& a, const Tensor& x);
  static Tensor vjp(const Attrs& a, const Tensor& g, Meta x);
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct Gather {
  struct Attrs { int axis; };
  static constexpr OpInfo info{"gather", "y[i,j,k] = x[i, index[i,j,k], k]"};
  static Tensor forward(const Attrs& a, const Tensor& x, const Tensor& index, Site at = Site::current());
  static Grads<2> vjp(const Attrs& a, const Tensor& g, Meta x, const Tensor& index) {
    return {scatter_add(g, index, a.axis, x.shape[a.axis]), Tensor{}};
  }
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct ScatterAdd {
  struct Attrs { int axis; Index extent; };
  static constexpr OpInfo info{"scatter_add", "y[i, index[i,j,k], k] += x[i,j,k], in the order of j"};
  static Tensor forward(const Attrs& a, const Tensor& values, const Tensor& index, Site at = Site::current());
  static Grads<2> vjp(const Attrs& a, const Tensor& g, Meta, const Tensor& index) { return {gather(g, index, a.axis), Tensor{}}; }
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct IndexSelect {
  struct Attrs { int axis; };
  static constexpr OpInfo info{"index_select", "y[i,j,k] = x[i, index[j], k]"};
  static Tensor forward(const Attrs& a, const Tensor& x, const Tensor& index, Site at = Site::current());
  static Grads<2> vjp(const Attrs& a, const Tensor& g, Meta x, const Tensor& index);
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct IndexAdd {
  struct Attrs { int axis; Index extent; };
  static constexpr OpInfo info{"index_add", "y[i, index[j], k] += x[i,j,k], in the order of j"};
  static Tensor forward(const Attrs& a, const Tensor& values, const Tensor& index, Site at = Site::current());
  static Grads<2> vjp(const Attrs& a, const Tensor& g, Meta, const Tensor& index) { return {index_select(g, index, a.axis), Tensor{}}; }
  static std::vector<Sample<Attrs>> samples();
};

struct ResizeOp {
  struct Attrs { Index height, width; Resize mode; };
  static constexpr OpInfo info{"resize", "y(p) = x((p + 1/2) H/H' - 1/2), nearest or bilinear, edges clamped"};
  static Tensor forward(const Attrs& a, const Tensor& x);
  static Tensor vjp(const Attrs& a, const Tensor& g, Meta x);
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct ResizeAdjoint {
  struct Attrs { Index height, width; Resize mode; };  // of the result: resize's input
  static constexpr OpInfo info{"resize_adjoint", "each g, spread to the pixels it was read from"};
  static Tensor forward(const Attrs& a, const Tensor& g);
  static Tensor vjp(const Attrs& a, const Tensor& g, Meta x) { return resize(g, x.shape[1], x.shape[2], a.mode); }
  static std::vector<Sample<Attrs>> samples();
};

struct AvgPool {
  struct Attrs { Index kernel, stride; };
  static constexpr OpInfo info{"avg_pool", "the mean of each kernel x kernel window, none padded"};
  static Tensor forward(const Attrs& a, const Tensor& x);
  static Tensor vjp(const Attrs& a, const Tensor& g, Meta x);
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct AvgPoolAdjoint {
  struct Attrs { Index kernel, stride, height, width; };
  static constexpr OpInfo info{"avg_pool_adjoint", "each g, spread evenly over its window"};
  static Tensor forward(const Attrs& a, const Tensor& g);
  static Tensor vjp(const Attrs& a, const Tensor& g, Meta) { return avg_pool(g, a.kernel, a.stride); }
  static std::vector<Sample<Attrs>> samples();
};

}  // namespace sspo
