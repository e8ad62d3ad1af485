// CUDA's built-in vector types, for compilers that have none. Layout and alignment: CUDA C++ Programming Guide, 7.3.
#pragma once

#define SSPO_VECTOR_TYPE(name, T, a2, a4)                                    \
  struct alignas(a2) name##2 { T x, y; };                                    \
  struct name##3 { T x, y, z; };                                             \
  struct alignas(a4) name##4 { T x, y, z, w; };                              \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }                 \
  inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }         \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

SSPO_VECTOR_TYPE(float, float, 8, 16)
SSPO_VECTOR_TYPE(int, int, 8, 16)
SSPO_VECTOR_TYPE(uint, unsigned, 8, 16)
SSPO_VECTOR_TYPE(double, double, 16, 16)
#undef SSPO_VECTOR_TYPE

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
