// Shape, Strides, Layout: where the elements of a tensor lie. Plain values, trivially copyable, at
// most six dimensions, outermost first; strides count elements.
//   Shape s{2, 16, 16, 64};   s.rank() == 4   s.numel() == 32768   s[-1] == 64
#pragma once
#include <array>
#include <initializer_list>
#include <span>
#include <string>
#include <type_traits>

#include "sspo/base/config.hpp"
#include "sspo/base/error.hpp"

namespace sspo {

inline constexpr int max_rank = 6;

class Shape {
 public:
  Shape() = default;  // rank 0: a scalar, one element
  // Throws Error: more than max_rank dimensions, a negative extent, a product above 2^62.
  Shape(std::initializer_list<Index> extents, Site at = Site::current());
  explicit Shape(std::span<const Index> extents, Site at = Site::current());

  int rank() const { return rank_; }
  Index numel() const;
  Index operator[](int axis) const { return extent_[std::size_t(axis < 0 ? axis + rank_ : axis)]; }
  const Index* begin() const { return extent_.data(); }
  const Index* end() const { return begin() + rank_; }
  friend bool operator==(const Shape&, const Shape&) = default;

  Shape with(int axis, Index extent, Site at = Site::current()) const;  // the same shape, one extent replaced
  std::string str() const;                   // "[2, 16, 16, 64]"

 private:
  std::array<Index, max_rank> extent_{};  // zeros beyond the rank
  int rank_ = 0;
};

using Strides = std::array<Index, max_rank>;
using Axes = std::span<const int>;

struct Layout {
  Shape shape;
  Strides strides{};  // elements between neighbours along each axis; 0: broadcast
  Index offset = 0;   // of the first element, from the start of the storage
};
static_assert(std::is_trivially_copyable_v<Layout> && sizeof(Layout) == 8 * (max_rank + 1 + max_rank + 1));

Strides contiguous_strides(const Shape& shape);  // row-major: the last axis is 1
bool is_contiguous(const Layout& layout);

// 0 <= result < rank, from -rank <= axis < rank; else an Error naming op, axis and rank.
int normal_axis(int axis, int rank, const char* op, Site at = Site::current());
// The shape both broadcast to (axes aligned at the right, extent 1 stretches), or an Error naming both.
Shape broadcast(const Shape& a, const Shape& b, const char* op, Site at = Site::current());
// The layout of `from` seen as `to`: stretched axes get stride 0. `from.shape` must broadcast to `to`.
Layout expand(const Layout& from, const Shape& to, const char* op, Site at = Site::current());

}  // namespace sspo
