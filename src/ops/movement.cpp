#include "sspo/ops/movement.hpp"

#include <optional>

#include "backend.hpp"
#include "sspo/ops/elementwise.hpp"

namespace sspo {
namespace {

// --- layouts: what a view changes ------------------------------------------------------------------

// The strides that show `from` as `to` without moving an element, if there are any. Axes of `from` that
// lie in one line form a run; every run must be cut into whole axes of `to`.
std::optional<Layout> reshaped(const Layout& from, const Shape& to) {
  Layout out{to, contiguous_strides(to), from.offset};
  if (from.shape.numel() == 0) return out;
  int t = to.rank() - 1;
  Index run = 1;
  for (int a = from.shape.rank() - 1, first = a; a >= 0; --a) {
    if (run == 1) first = a;  // extents of 1 may stand anywhere
    run *= from.shape[a];
    const Index step = from.strides[std::size_t(first)];
    const bool goes_on = a > 0 && (run == 1 || from.shape[a - 1] == 1 || from.strides[std::size_t(a - 1)] == run * step);
    if (goes_on) continue;
    Index filled = 1;
    for (; t >= 0 && (filled < run || to[t] == 1); --t) {
      out.strides[std::size_t(t)] = filled * step;
      filled *= to[t];
    }
    if (filled != run) return std::nullopt;
    run = 1;
  }
  return out;
}

Layout permuted(const Layout& from, Axes axes) {
  Layout out = from;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    out.shape = out.shape.with(int(i), from.shape[axes[i]]);
    out.strides[i] = from.strides[std::size_t(axes[i])];
  }
  return out;
}

Layout sliced(const Layout& from, int axis, Index begin, Index end, Index step = 1) {
  Layout out = from;
  Index& stride = out.strides[std::size_t(axis)];
  out.shape = from.shape.with(axis, (end - begin + step - 1) / step);
  if (out.shape.numel() > 0) out.offset += begin * stride;
  stride *= step;
  return out;
}

Layout flipped(const Layout& from, Axes axes) {
  Layout out = from;
  for (int a : axes) {
    Index& stride = out.strides[std::size_t(a)];
    if (from.shape.numel() > 0) out.offset += (from.shape[a] - 1) * stride;
    stride = -stride;
  }
  return out;
}

Tensor viewed(const Tensor& x, const Layout& layout) { return Tensor(x.storage(), layout, x.dtype()); }

// --- unrecorded helpers ----------------------------------------------------------------------------

void copy(const Tensor& from, const Tensor& to) { backend(to.device()).copy(view(from), view(to)); }

Tensor converted(const Tensor& x, DType to) {
  if (x.dtype() == to) return x;
  Tensor y = Tensor::empty(x.shape(), to, x.device());
  copy(x, y);
  return y;
}

Tensor packed(const Tensor& x) {
  if (x.contiguous()) return x;
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  copy(x, y);
  return y;
}

Tensor as_shape(const Tensor& x, const Shape& shape) {
  if (const auto layout = reshaped(x.layout(), shape)) return viewed(x, *layout);
  return viewed(packed(x), {shape, contiguous_strides(shape), 0});
}

void fill(const Tensor& x, const Layout& part, const Tensor& value) {
  copy(viewed(value, {part.shape, {}, value.layout().offset}), viewed(x, part));
}

// [O, N, I]: an axis with all before it and all behind it.
Shape around(const Shape& shape, int axis) {
  Index outer = 1, inner = 1;
  for (int a = 0; a < axis; ++a) outer *= shape[a];
  for (int a = axis + 1; a < shape.rank(); ++a) inner *= shape[a];
  return {outer, shape[axis], inner};
}

// --- checks ----------------------------------------------------------------------------------------

const Tensor& defined(const Tensor& x, const char* op, Site at) {
  if (!x.defined()) fail({.op = op, .what = "an operand is undefined", .expected = "a tensor", .got = "Tensor{}"}, at);
  return x;
}

std::string list(std::span<const Index> values) {
  std::string s = "[";
  for (std::size_t i = 0; i < values.size(); ++i) s += (i ? ", " : "") + std::to_string(values[i]);
  return s + "]";
}

Shape inferred(const Tensor& x, std::span<const Index> wanted, Site at) {
  std::vector<Index> extents(wanted.begin(), wanted.end());
  Index known = 1;
  int open = -1;
  for (std::size_t i = 0; i < extents.size(); ++i) {
    if (extents[i] == -1 && open >= 0)
      fail({.op = "reshape", .what = "two extents are -1", .expected = "at most one -1: the extent that follows from the others", .got = list(wanted)}, at);
    if (extents[i] < -1) fail({.op = "reshape", .what = "negative extent", .expected = "extents of 0 or more, or one -1", .got = list(wanted)}, at);
    if (extents[i] == -1) open = int(i);
    else if (__builtin_mul_overflow(known, extents[i], &known))
      fail({.op = "reshape", .what = "too many elements", .expected = std::to_string(x.numel()) + " elements, as in " + x.str(), .got = list(wanted)}, at);
  }
  if (open >= 0 && known != 0 && x.numel() % known == 0) {
    extents[std::size_t(open)] = x.numel() / known;
    known = x.numel();
  } else if (open >= 0) {
    fail({.op = "reshape", .what = "-1 cannot be inferred", .expected = "a divisor of " + std::to_string(x.numel()) + ", the elements of " + x.str(),
          .got = list(wanted) + ": " + std::to_string(known) + " elements for each of -1"}, at);
  }
  if (known != x.numel())
    fail({.op = "reshape", .what = "the number of elements changes", .expected = std::to_string(x.numel()) + " elements, as in " + x.str(),
          .got = list(wanted) + ": " + std::to_string(known) + " elements"}, at);
  return Shape(extents);
}

std::vector<int> normal_axes(std::vector<int> axes, int rank, const char* op, Site at) {
  for (std::size_t i = 0; i < axes.size(); ++i) {
    axes[i] = normal_axis(axes[i], rank, op, at);
    for (std::size_t j = 0; j < i; ++j)
      if (axes[i] == axes[j])
        fail({.op = op, .what = "an axis is named twice", .expected = "each axis once", .got = "axis " + std::to_string(axes[i]) + " twice"}, at);
  }
  return axes;
}

Tensor index_of(Tensor index, const char* op, Site at) {
  if (defined(index, op, at).dtype() != DType::i64 && index.dtype() != DType::i32)
    fail({.op = op, .what = "indices are not integers", .expected = "an index of i64 or i32", .got = index.str(), .hint = "cast(x, DType::i64) converts"}, at);
  return cast(std::move(index), DType::i64, at);
}

// gather and scatter_add: one index for every element.
void check_index_shape(const Tensor& x, const Tensor& index, int axis, const char* op, Site at) {
  bool fits = x.rank() == index.rank();
  for (int a = 0; fits && a < x.rank(); ++a) fits = a == axis || x.dim(a) == index.dim(a);
  if (!fits)
    fail({.op = op, .what = "the index does not fit", .expected = "the extents of " + x.str() + " on every axis but axis " + std::to_string(axis),
          .got = "an index of " + index.shape().str(), .hint = "expand(index, shape) repeats it at no cost"}, at);
}

void check_index_line(const Tensor& index, const char* op, Site at) {
  if (index.rank() != 1)
    fail({.op = op, .what = "the index is not a line", .expected = "an index of rank 1, [K]", .got = index.str(), .hint = "gather takes one index an element"}, at);
}

// index [O, J, I]
void check_index_values(const Tensor& index, Index extent, int axis, const char* op, Site at) {
  const Index outside = backend(index.device()).find_outside(view(index), extent);
  if (outside >= 0)
    fail({.op = op, .what = "index out of range", .expected = "0 <= index < " + std::to_string(extent) + ", the extent of axis " + std::to_string(axis),
          .got = "index " + std::to_string(index.item<std::int64_t>(outside)) + " at element " + std::to_string(outside)}, at);
}

// One value per j, seen as [O, J, I].
Tensor index_line(const Tensor& index, const Shape& around) {
  return viewed(index, {around, {0, index.layout().strides[0], 0}, index.layout().offset});
}

void check_image(const Tensor& x, const char* op, Site at) {
  if (defined(x, op, at).rank() != 4 || !is_floating(x.dtype()))
    fail({.op = op, .what = "not a batch of images", .expected = "[B, H, W, C] of f32, f64, bf16 or f16", .got = x.str()}, at);
}

Tensor gathered(const Tensor& x, const Tensor& index, int axis, Index count) {
  Tensor y = Tensor::empty(x.shape().with(axis, count), x.dtype(), x.device());
  const Tensor from = as_shape(packed(x), around(x.shape(), axis)), to = as_shape(y, around(y.shape(), axis));
  backend(x.device()).gather(view(from), view(index), view(to));
  return y;
}

// 16-bit floats are summed in f32.
Tensor scattered(const Tensor& values, const Tensor& index, int axis, Index extent) {
  const DType sums = is_floating(values.dtype()) ? compute_type(values.dtype()) : values.dtype();
  Tensor y = zeros(values.shape().with(axis, extent), sums, values.device());
  const Tensor from = as_shape(packed(values), around(values.shape(), axis)), to = as_shape(y, around(y.shape(), axis));
  backend(values.device()).scatter_add(view(from), view(index), view(to));
  return converted(y, values.dtype());
}

}  // namespace

// --- what users call -------------------------------------------------------------------------------

Tensor contiguous(Tensor x, Site at) { return defined(x, "contiguous", at).contiguous() ? x : apply<Contiguous>(at, {}, std::move(x)); }

Tensor reshape(Tensor x, std::initializer_list<Index> shape, Site at) {
  const Shape to = inferred(defined(x, "reshape", at), std::span(shape.begin(), shape.size()), at);
  return x.shape() == to ? x : apply<Reshape>(at, {to}, std::move(x));
}
Tensor reshape(Tensor x, const std::vector<Index>& shape, Site at) {
  const Shape to = inferred(defined(x, "reshape", at), shape, at);
  return x.shape() == to ? x : apply<Reshape>(at, {to}, std::move(x));
}
Tensor reshape(Tensor x, const Shape& shape, Site at) {
  return reshape(std::move(x), std::vector<Index>(shape.begin(), shape.end()), at);
}

Tensor permute(Tensor x, std::vector<int> axes, Site at) {
  const int rank = defined(x, "permute", at).rank();
  if (int(axes.size()) != rank)
    fail({.op = "permute", .what = "not one entry per axis", .expected = std::to_string(rank) + " axes, as in " + x.str(), .got = std::to_string(axes.size())}, at);
  axes = normal_axes(std::move(axes), rank, "permute", at);
  return apply<Permute>(at, {std::move(axes)}, std::move(x));
}

Tensor transpose(Tensor x, int a, int b, Site at) {
  const int rank = defined(x, "transpose", at).rank();
  std::vector<int> axes(static_cast<std::size_t>(rank));
  for (int i = 0; i < rank; ++i) axes[std::size_t(i)] = i;
  std::swap(axes[std::size_t(normal_axis(a, rank, "transpose", at))], axes[std::size_t(normal_axis(b, rank, "transpose", at))]);
  return apply<Permute>(at, {std::move(axes)}, std::move(x));
}

Tensor expand(Tensor x, const Shape& shape, Site at) {
  if (defined(x, "expand", at).shape() == shape) return x;
  (void)expand(x.layout(), shape, "expand", at);
  return apply<Expand>(at, {shape}, std::move(x));
}

Tensor slice(Tensor x, int axis, Index begin, Index end, Index step, Site at) {
  axis = normal_axis(axis, defined(x, "slice", at).rank(), "slice", at);
  const Index extent = x.dim(axis), first = begin < 0 ? begin + extent : begin, last = end < 0 ? end + extent : end;
  if (first < 0 || first > last || last > extent)
    fail({.op = "slice", .what = "range outside the axis", .expected = "0 <= begin <= end <= " + std::to_string(extent) + " on axis " + std::to_string(axis) + " of " + x.str(),
          .got = std::to_string(begin) + " to " + std::to_string(end), .hint = "negative numbers count from the end"}, at);
  if (step < 1)
    fail({.op = "slice", .what = "step below 1", .expected = "1 or more", .got = std::to_string(step), .hint = "flip(x, {axis}) reverses"}, at);
  return apply<Slice>(at, {axis, first, last, step}, std::move(x));
}

Tensor flip(Tensor x, std::vector<int> axes, Site at) {
  axes = normal_axes(std::move(axes), defined(x, "flip", at).rank(), "flip", at);
  return apply<Flip>(at, {std::move(axes)}, std::move(x));
}

Tensor cat(Tensors parts, int axis, Site at) {
  if (parts.empty()) fail({.op = "cat", .what = "nothing to join", .expected = "one part or more", .got = "none"}, at);
  for (const Tensor& p : parts) defined(p, "cat", at);
  axis = normal_axis(axis, parts[0].rank(), "cat", at);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const Tensor& p = parts[i];
    const bool fits = p.rank() == parts[0].rank() && p.shape().with(axis, parts[0].dim(axis)) == parts[0].shape();
    if (!fits || p.dtype() != parts[0].dtype())
      fail({.op = "cat", .what = "a part does not fit the first", .expected = "the dtype of " + parts[0].str() + ", and its extents but on axis " + std::to_string(axis),
            .got = p.str() + " as part " + std::to_string(i)}, at);
  }
  const Cat::Attrs attrs{axis};
  detail::CallRecord call(Cat::info, parts, at);
  Tensor y = Cat::forward(attrs, parts);
  if (call.tracked) {
    Shared<Node> node = detail::make_node(Cat::info, parts, y);
    std::vector<Meta> metas;
    for (const Tensor& p : parts) metas.push_back(p.meta());
    node->pullback = [attrs, metas](const PullArgs& p) { return Cat::vjp(attrs, p.g, metas); };
    y = y.with_node(std::move(node));
  }
  call.finish(y);
  return y;
}

Tensor stack(Tensors parts, int axis, Site at) {
  if (parts.empty()) fail({.op = "stack", .what = "nothing to join", .expected = "one part or more", .got = "none"}, at);
  const Shape first = defined(parts[0], "stack", at).shape();
  axis = normal_axis(axis, first.rank() + 1, "stack", at);
  std::vector<Index> shape(first.begin(), first.end());
  shape.insert(shape.begin() + axis, 1);
  for (Tensor& p : parts) {
    if (!(defined(p, "stack", at).shape() == first))
      fail({.op = "stack", .what = "parts of different shapes", .expected = first.str() + ", the shape of the first part", .got = p.str()}, at);
    p = reshape(std::move(p), shape, at);
  }
  return cat(std::move(parts), axis, at);
}

Tensor pad(Tensor x, std::vector<PadAmount> amounts, double value, Site at) {
  const std::size_t rank = std::size_t(defined(x, "pad", at).rank());
  if (amounts.size() > rank)
    fail({.op = "pad", .what = "more amounts than axes", .expected = "at most " + std::to_string(rank) + ", for the last axes of " + x.str(), .got = std::to_string(amounts.size())}, at);
  for (const PadAmount& p : amounts)
    if (p.before < 0 || p.after < 0)
      fail({.op = "pad", .what = "negative amount", .expected = "0 or more before and after", .got = "{" + std::to_string(p.before) + ", " + std::to_string(p.after) + "}",
            .hint = "slice takes elements away"}, at);
  amounts.insert(amounts.begin(), rank - amounts.size(), PadAmount{});
  return apply<Pad>(at, {std::move(amounts), value}, std::move(x));
}

Tensor gather(Tensor x, Tensor index, int axis, Site at) {
  axis = normal_axis(axis, defined(x, "gather", at).rank(), "gather", at);
  index = index_of(std::move(index), "gather", at);
  check_index_shape(x, index, axis, "gather", at);
  return apply<Gather>(at, {axis}, std::move(x), std::move(index));
}

Tensor scatter_add(Tensor values, Tensor index, int axis, Index extent, Site at) {
  axis = normal_axis(axis, defined(values, "scatter_add", at).rank(), "scatter_add", at);
  index = index_of(std::move(index), "scatter_add", at);
  check_index_shape(values, index, axis, "scatter_add", at);
  if (values.dim(axis) != index.dim(axis))
    fail({.op = "scatter_add", .what = "the index does not fit", .expected = "one index an element: " + values.shape().str(), .got = index.str()}, at);
  if (values.dtype() == DType::boolean)
    fail({.op = "scatter_add", .what = "truth values do not add", .expected = "numbers", .got = values.str(), .hint = "cast(x, DType::i64) converts"}, at);
  if (extent < 0) fail({.op = "scatter_add", .what = "negative extent", .expected = "0 or more", .got = std::to_string(extent)}, at);
  return apply<ScatterAdd>(at, {axis, extent}, std::move(values), std::move(index));
}

Tensor index_select(Tensor x, Tensor index, int axis, Site at) {
  axis = normal_axis(axis, defined(x, "index_select", at).rank(), "index_select", at);
  index = index_of(std::move(index), "index_select", at);
  check_index_line(index, "index_select", at);
  return apply<IndexSelect>(at, {axis}, std::move(x), std::move(index));
}

Tensor embedding(Tensor table, Tensor ids, Site at) {
  if (defined(table, "embedding", at).rank() != 2)
    fail({.op = "embedding", .what = "the table is not a matrix", .expected = "[V, D]: one row an id", .got = table.str()}, at);
  ids = index_of(std::move(ids), "embedding", at);
  std::vector<Index> shape(ids.shape().begin(), ids.shape().end());
  shape.push_back(table.dim(1));
  ids = reshape(std::move(ids), Shape{ids.numel()}, at);
  return reshape(index_select(std::move(table), std::move(ids), 0, at), shape, at);
}

Tensor resize(Tensor x, Index height, Index width, Resize mode, Site at) {
  check_image(x, "resize", at);
  if (height < 1 || width < 1 || x.dim(1) < 1 || x.dim(2) < 1)
    fail({.op = "resize", .what = "an image without pixels", .expected = "heights and widths of 1 or more",
          .got = x.shape().str() + " to " + std::to_string(height) + " x " + std::to_string(width)}, at);
  return apply<ResizeOp>(at, {height, width, mode}, std::move(x));
}

Tensor avg_pool(Tensor x, Index kernel, Index stride, Site at) {
  check_image(x, "avg_pool", at);
  if (stride == 0) stride = kernel;
  if (kernel < 1 || stride < 1 || kernel > x.dim(1) || kernel > x.dim(2))
    fail({.op = "avg_pool", .what = "the window does not fit", .expected = "a kernel from 1 to the height and width, a stride of 0 or more",
          .got = "kernel " + std::to_string(kernel) + ", stride " + std::to_string(stride) + " on " + x.str()}, at);
  return apply<AvgPool>(at, {kernel, stride}, std::move(x));
}

// --- the ops ---------------------------------------------------------------------------------------

Tensor Contiguous::forward(const Tensor& x) { return packed(x); }
Tensor Reshape::forward(const Attrs& a, const Tensor& x) { return as_shape(x, a.shape); }
Tensor Permute::forward(const Attrs& a, const Tensor& x) { return viewed(x, permuted(x.layout(), a.axes)); }
Tensor Expand::forward(const Attrs& a, const Tensor& x) { return viewed(x, expand(x.layout(), a.shape, "expand")); }
Tensor Slice::forward(const Attrs& a, const Tensor& x) { return viewed(x, sliced(x.layout(), a.axis, a.begin, a.end, a.step)); }
Tensor Slice::vjp(const Attrs& a, const Tensor& g, Meta x) { return apply<Unslice>(Site{}, {a, x.shape[a.axis]}, g); }
Tensor Flip::forward(const Attrs& a, const Tensor& x) { return viewed(x, flipped(x.layout(), a.axes)); }

Tensor Unslice::forward(const Attrs& a, const Tensor& g) {
  const auto& [axis, begin, end, step] = a.slice;
  if (step == 1) {
    std::vector<PadAmount> amounts(static_cast<std::size_t>(g.rank()));
    amounts[std::size_t(axis)] = {begin, a.extent - end};
    return Pad::forward({std::move(amounts), 0}, g);
  }
  Tensor y = zeros(g.shape().with(axis, a.extent), g.dtype(), g.device());
  copy(g, viewed(y, sliced(y.layout(), axis, begin, end, step)));
  return y;
}

Tensor Cat::forward(const Attrs& a, std::span<const Tensor> parts) {
  Index extent = 0;
  for (const Tensor& p : parts) extent += p.dim(a.axis);
  Tensor y = Tensor::empty(parts[0].shape().with(a.axis, extent), parts[0].dtype(), parts[0].device());
  Index begin = 0;
  for (const Tensor& p : parts) {
    copy(p, viewed(y, sliced(y.layout(), a.axis, begin, begin + p.dim(a.axis))));
    begin += p.dim(a.axis);
  }
  return y;
}
Tensors Cat::vjp(const Attrs& a, const Tensor& g, std::span<const Meta> parts) {
  Tensors grads;
  Index begin = 0;
  for (const Meta& p : parts) {
    grads.push_back(slice(g, a.axis, begin, begin + p.shape[a.axis]));
    begin += p.shape[a.axis];
  }
  return grads;
}

// The frame is filled slab by slab, so that every element is written once.
Tensor Pad::forward(const Attrs& a, const Tensor& x) {
  Shape shape = x.shape();
  for (int axis = 0; axis < x.rank(); ++axis) shape = shape.with(axis, a.amounts[std::size_t(axis)].before + x.dim(axis) + a.amounts[std::size_t(axis)].after);
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  const Tensor value = full({}, a.value, x.dtype(), x.device());
  Layout inside = y.layout();
  for (int axis = 0; axis < x.rank(); ++axis) {
    const Index before = a.amounts[std::size_t(axis)].before, end = before + x.dim(axis);
    if (before > 0) fill(y, sliced(inside, axis, 0, before), value);
    if (end < shape[axis]) fill(y, sliced(inside, axis, end, shape[axis]), value);
    inside = sliced(inside, axis, before, end);
  }
  copy(x, viewed(y, inside));
  return y;
}
Tensor Pad::vjp(const Attrs& a, const Tensor& g, Meta x) {
  Tensor inside = g;
  for (int axis = 0; axis < x.shape.rank(); ++axis) {
    const auto [before, after] = a.amounts[std::size_t(axis)];
    if (before || after) inside = slice(std::move(inside), axis, before, before + x.shape[axis]);
  }
  return inside;
}

Tensor Gather::forward(const Attrs& a, const Tensor& x, const Tensor& index, Site at) {
  const Tensor lines = as_shape(index, around(index.shape(), a.axis));
  check_index_values(lines, x.dim(a.axis), a.axis, "gather", at);
  return gathered(x, lines, a.axis, index.dim(a.axis));
}
Tensor ScatterAdd::forward(const Attrs& a, const Tensor& values, const Tensor& index, Site at) {
  const Tensor lines = as_shape(index, around(index.shape(), a.axis));
  check_index_values(lines, a.extent, a.axis, "scatter_add", at);
  return scattered(values, lines, a.axis, a.extent);
}
Tensor IndexSelect::forward(const Attrs& a, const Tensor& x, const Tensor& index, Site at) {
  check_index_values(index_line(index, {1, index.dim(0), 1}), x.dim(a.axis), a.axis, "index_select", at);
  const Shape shape = around(x.shape(), a.axis);
  return gathered(x, index_line(index, shape.with(1, index.dim(0))), a.axis, index.dim(0));
}
Grads<2> IndexSelect::vjp(const Attrs& a, const Tensor& g, Meta x, const Tensor& index) {
  return {apply<IndexAdd>(Site{}, {a.axis, x.shape[a.axis]}, g, index), Tensor{}};
}
Tensor IndexAdd::forward(const Attrs& a, const Tensor& values, const Tensor& index, Site at) {
  check_index_values(index_line(index, {1, index.dim(0), 1}), a.extent, a.axis, "index_add", at);
  return scattered(values, index_line(index, around(values.shape(), a.axis)), a.axis, a.extent);
}

Tensor ResizeOp::forward(const Attrs& a, const Tensor& x) {
  Tensor y = Tensor::empty({x.dim(0), a.height, a.width, x.dim(3)}, x.dtype(), x.device());
  const Tensor from = packed(x);
  backend(x.device()).resize(view(from), view(y), a.mode == Resize::bilinear);
  return y;
}
Tensor ResizeOp::vjp(const Attrs& a, const Tensor& g, Meta x) {
  return apply<ResizeAdjoint>(Site{}, {x.shape[1], x.shape[2], a.mode}, g);
}
Tensor ResizeAdjoint::forward(const Attrs& a, const Tensor& g) {
  Tensor y = Tensor::empty({g.dim(0), a.height, a.width, g.dim(3)}, g.dtype(), g.device());
  const Tensor from = packed(g);
  backend(g.device()).resize_adjoint(view(from), view(y), a.mode == Resize::bilinear);
  return y;
}

Tensor AvgPool::forward(const Attrs& a, const Tensor& x) {
  const auto windows = [&](Index extent) { return (extent - a.kernel) / a.stride + 1; };
  Tensor y = Tensor::empty({x.dim(0), windows(x.dim(1)), windows(x.dim(2)), x.dim(3)}, x.dtype(), x.device());
  const Tensor from = packed(x);
  backend(x.device()).avg_pool(view(from), view(y), a.kernel, a.stride);
  return y;
}
Tensor AvgPool::vjp(const Attrs& a, const Tensor& g, Meta x) {
  return apply<AvgPoolAdjoint>(Site{}, {a.kernel, a.stride, x.shape[1], x.shape[2]}, g);
}
Tensor AvgPoolAdjoint::forward(const Attrs& a, const Tensor& g) {
  Tensor y = Tensor::empty({g.dim(0), a.height, a.width, g.dim(3)}, g.dtype(), g.device());
  const Tensor from = packed(g);
  backend(g.device()).avg_pool_adjoint(view(from), view(y), a.kernel, a.stride);
  return y;
}

}  // namespace sspo
