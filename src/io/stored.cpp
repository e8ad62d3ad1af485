#include "io/stored.hpp"

#include <algorithm>
#include <cstring>

namespace sspo::io {
namespace {

Shape loadable_shape(const StoredTensor& t, const Place& place) {
  if (t.shape.size() > max_rank) bad_file(place, "too many axes to load", "at most " + std::to_string(max_rank), t.str());
  std::vector<Index> extents;
  std::uint64_t product = 1;
  for (const std::uint64_t e : t.shape) {
    if (__builtin_mul_overflow(product, std::max<std::uint64_t>(e, 1), &product) || product > std::uint64_t(1) << 62)
      bad_file(place, "the shape is too large to load", "a product of at most 2^62", t.str());
    extents.push_back(static_cast<Index>(e));
  }
  return Shape(extents);
}

// A byte that is neither 0 nor 1 is no bool in C++.
void check_booleans(const std::uint8_t* values, Index count, const StoredTensor& t, const Place& place) {
  const std::uint8_t* bad = std::find_if(values, values + count, [](std::uint8_t v) { return v > 1; });
  if (bad == values + count) return;
  Place at = place;
  at.at = "@" + std::to_string(t.begin + std::uint64_t(bad - values));
  bad_file(at, "not a BOOL", "0 or 1", std::to_string(*bad));
}

// Every element of a view, in row-major order.
void gather(const std::string& range, const StoredTensor& t, std::size_t width, char* to) {
  std::vector<std::uint64_t> index(t.shape.size(), 0);
  std::uint64_t from = 0;  // in elements
  for (bool more = true; more;) {
    std::memcpy(to, range.data() + from * width, width);
    to += width;
    more = false;
    for (std::size_t axis = t.shape.size(); axis-- > 0 && !more;) {
      from += t.strides[axis];
      more = ++index[axis] < t.shape[axis];
      if (!more) from -= t.shape[axis] * t.strides[axis], index[axis] = 0;
    }
  }
}

}  // namespace

Tensor load_stored(const File& file, const StoredTensor& t, const Device& device) {
  const Place place{.path = file.path(), .field = t.name};
  if (!t.type->dtype) bad_file(place, "unsupported type", "F64, F32, F16, BF16, I64, I32, U8 or BOOL", t.str());
  Tensor x = Tensor::empty(loadable_shape(t, place), *t.type->dtype);
  if (t.strides.empty()) {
    file.read(t.begin, x.mutable_raw(), t.end - t.begin);
  } else {
    std::string range(std::size_t(t.end - t.begin), '\0');
    file.read(t.begin, range.data(), range.size());
    if (x.numel()) gather(range, t, size_of(x.dtype()), static_cast<char*>(x.mutable_raw()));
  }
  if (x.dtype() == DType::boolean) check_booleans(static_cast<const std::uint8_t*>(x.raw()), x.numel(), t, place);
  return to_device(x, device);
}

}  // namespace sspo::io
