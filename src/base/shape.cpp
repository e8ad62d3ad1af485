#include "sspo/base/shape.hpp"

#include <algorithm>

namespace sspo {

Shape::Shape(std::initializer_list<Index> extents, Site at) : Shape(std::span(extents.begin(), extents.size()), at) {}
Shape::Shape(std::span<const Index> extents, Site at) {
  const auto text = [&] {
    std::string s = "[";
    for (std::size_t i = 0; i < extents.size(); ++i) s += (i ? ", " : "") + std::to_string(extents[i]);
    return s + "]";
  };
  if (extents.size() > max_rank)
    fail({.op = "shape", .what = "too many dimensions", .expected = "at most 6", .got = text(),
          .hint = "merge neighbouring axes with reshape"}, at);
  Index product = 1;
  bool overflow = false;
  for (Index e : extents) {
    if (e < 0) fail({.op = "shape", .what = "negative extent", .expected = "extents of 0 or more", .got = text()}, at);
    overflow |= __builtin_mul_overflow(product, std::max<Index>(e, 1), &product) || product > (Index(1) << 62);
    extent_[std::size_t(rank_++)] = e;
  }
  if (overflow)
    fail({.op = "shape", .what = "too many elements", .expected = "a product of at most 2^62", .got = text()}, at);
}

Index Shape::numel() const {
  Index n = 1;
  for (Index e : *this) n *= e;
  return n;
}

Shape Shape::with(int axis, Index extent, Site at) const {
  std::array<Index, max_rank> e = extent_;
  e[std::size_t(axis < 0 ? axis + rank_ : axis)] = extent;
  return Shape(std::span<const Index>(e.data(), std::size_t(rank_)), at);
}

std::string Shape::str() const {
  std::string s = "[";
  for (int i = 0; i < rank_; ++i) s += (i ? ", " : "") + std::to_string((*this)[i]);
  return s + "]";
}

Strides contiguous_strides(const Shape& shape) {
  Strides strides{};
  Index step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[std::size_t(i)] = step;
    step *= std::max<Index>(shape[i], 1);
  }
  return strides;
}

bool is_contiguous(const Layout& layout) {
  Index step = 1;
  for (int i = layout.shape.rank() - 1; i >= 0; --i) {
    if (layout.shape[i] == 0) return true;
    if (layout.shape[i] != 1 && layout.strides[std::size_t(i)] != step) return false;
    step *= layout.shape[i];
  }
  return true;
}

int normal_axis(int axis, int rank, const char* op, Site at) {
  if (axis < -rank || axis >= rank)
    fail({.op = op, .what = "axis out of range",
          .expected = rank ? "an axis from " + std::to_string(-rank) + " to " + std::to_string(rank - 1) +
                                 ", because the tensor has rank " + std::to_string(rank)
                           : "no axis, because the tensor is a scalar",
          .got = "axis " + std::to_string(axis)}, at);
  return axis < 0 ? axis + rank : axis;
}

Shape broadcast(const Shape& a, const Shape& b, const char* op, Site at) {
  const int rank = std::max(a.rank(), b.rank());
  std::array<Index, max_rank> e{};
  for (int i = 1; i <= rank; ++i) {
    const Index x = i <= a.rank() ? a[-i] : 1, y = i <= b.rank() ? b[-i] : 1;
    if (x != y && x != 1 && y != 1)
      fail({.op = op, .what = "operands do not broadcast",
            .expected = "equal extents, or 1, on every axis counted from the right",
            .got = a.str() + " and " + b.str() + ": " + std::to_string(x) + " against " + std::to_string(y) +
                   " on axis -" + std::to_string(i),
            .hint = "reshape an operand so that the axes line up, e.g. [B, 1, 1, C] for a channel vector"}, at);
    e[std::size_t(rank - i)] = x == 1 ? y : x;
  }
  return Shape(std::span<const Index>(e.data(), std::size_t(rank)), at);
}

Layout expand(const Layout& from, const Shape& to, const char* op, Site at) {
  const int lead = to.rank() - from.shape.rank();
  const auto refuse = [&] {
    fail({.op = op, .what = "shape cannot be expanded", .expected = from.shape.str() + " to stretch to " + to.str() +
          ": equal extents or 1, axes aligned at the right", .got = from.shape.str()}, at);
  };
  if (lead < 0) refuse();
  Layout out{to, {}, from.offset};
  for (int i = 0; i < from.shape.rank(); ++i) {
    if (from.shape[i] != to[lead + i] && from.shape[i] != 1) refuse();
    out.strides[std::size_t(lead + i)] = from.shape[i] == 1 ? 0 : from.strides[std::size_t(i)];
  }
  return out;
}

}  // namespace sspo
