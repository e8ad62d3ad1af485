// Sums by AMX, the processor's unit for products of small matrices: an instruction multiplies 16 rows by 32 words' bf16 pairs.
//
//   sums[i][j] = Σ_k a[i][k] b[k][j]      a: up to 32 rows, `lda` words apart; b: one panel, 32 words for each k; a word is a pair of bf16 along k
//
// Eight registers of 16 rows of 64 bytes: four hold sums (2 x 2), two hold A, two hold B. A step is 16 words deep: 4 KB read for
// 4 x 16 x 16 x 32 multiply-adds. Subnormal numbers count as zeros, whatever the thread's mode.
#pragma once
#include "cpu/isa/gemm_products.hpp"

namespace sspo::cpu::SSPO_ISA::matrix_tiles {

inline constexpr int rows_most = 32, step = 16, columns = 32;
enum Register { sums = 0, a = 4, b = 6 };  // sums + 2 r + c, a + r, b + c

// The rows of each register: those of A and of the sums are as many as there are to do.
struct alignas(64) Shapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  explicit Shapes(int count) {
    const auto upper = std::uint8_t(count < 16 ? count : 16), lower = std::uint8_t(count > 16 ? count - 16 : 1);
    rows[sums] = rows[sums + 1] = rows[a] = upper;
    rows[sums + 2] = rows[sums + 3] = rows[a + 1] = lower;
  }
};

#if defined(__AMX_BF16__)  // the compiler keeps what is read and written in order: it is told of memory each time
inline void configure(int rows) {
  const Shapes shapes(rows);
  asm volatile("ldtilecfg %0" : : "m"(shapes));
}
inline void release() { asm volatile("tilerelease"); }
template <int r> [[gnu::always_inline]] inline void clear() { asm volatile("tilezero %%tmm%c0" : : "i"(r)); }
template <int r> [[gnu::always_inline]] inline void load(const std::int32_t* from, Index words_apart) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(r), "r"(from), "r"(words_apart * 4) : "memory");
}
template <int r> [[gnu::always_inline]] inline void store(float* to, Index apart) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(r), "r"(to), "r"(apart * 4) : "memory");
}
template <int c, int x, int y> [[gnu::always_inline]] inline void multiply() { asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(c), "i"(x), "i"(y)); }
#else  // for tests where the unit is not: the same, number by number
struct Registers {
  std::int32_t word[8][16][16];
  int rows[8];
};
inline thread_local Registers registers;
inline void configure(int rows) {
  const Shapes shapes(rows);
  for (int r = 0; r < 8; ++r) registers.rows[r] = shapes.rows[r];
}
inline void release() {}
template <int r> [[gnu::always_inline]] inline void clear() { __builtin_memset(registers.word[r], 0, sizeof registers.word[r]); }
template <int r> [[gnu::always_inline]] inline void load(const std::int32_t* from, Index words_apart) {
  for (int i = 0; i < registers.rows[r]; ++i) __builtin_memcpy(registers.word[r][i], from + i * words_apart, 64);
}
template <int r> [[gnu::always_inline]] inline void store(float* to, Index apart) {
  for (int i = 0; i < registers.rows[r]; ++i) __builtin_memcpy(to + i * apart, registers.word[r][i], 64);
}
template <int c, int x, int y> [[gnu::always_inline]] inline void multiply() {
  const auto half = [](std::int32_t word, bool odd) { return __builtin_bit_cast(float, odd ? word & std::int32_t(0xffff0000) : std::int32_t(std::uint32_t(word) << 16)); };
  for (int i = 0; i < registers.rows[c]; ++i)
    for (int k = 0; k < 16; ++k)
      for (int j = 0; j < 16; ++j) {
        const std::int32_t p = registers.word[x][i][k], q = registers.word[y][k][j];
        float sum = __builtin_bit_cast(float, registers.word[c][i][j]);
        sum = __builtin_fmaf(half(p, false), half(q, false), sum);
        registers.word[c][i][j] = __builtin_bit_cast(std::int32_t, __builtin_fmaf(half(p, true), half(q, true), sum));
      }
}
#endif

// One step: A's and B's next 16 words.
template <bool both>
[[gnu::always_inline]] inline void add_step(const std::int32_t* x, Index lda, const std::int32_t* y) {
  load<b>(y, columns);
  load<a>(x, lda);
  multiply<sums, a, b>();
  load<b + 1>(y + 16, columns);
  multiply<sums + 1, a, b + 1>();
  if constexpr (both) {
    load<a + 1>(x + 16 * lda, lda);
    multiply<sums + 2, a + 1, b>();
    multiply<sums + 3, a + 1, b + 1>();
  }
}

// `configure` has been told the number of rows.
template <bool both>
inline void sums_of_rows(const std::int32_t* x, Index lda, int rows, const std::int32_t* y, Index words, float (*to)[columns]) {
  clear<sums>(), clear<sums + 1>();
  if constexpr (both) clear<sums + 2>(), clear<sums + 3>();
  Index k = 0;
  for (; k + step <= words; k += step) add_step<both>(x + k, lda, y + k * columns);
  if (k < words) {  // what is beyond the end may be anything, NaN too: copies that end with zeros
    alignas(64) std::int32_t xs[rows_most][step] = {}, ys[step][columns] = {};
    for (int i = 0; i < rows; ++i) __builtin_memcpy(xs[i], x + i * lda + k, std::size_t(words - k) * 4);
    __builtin_memcpy(ys, y + k * columns, std::size_t(words - k) * sizeof ys[0]);
    add_step<both>(xs[0], step, ys[0]);
  }
  store<sums>(to[0], columns), store<sums + 1>(to[0] + 16, columns);
  if constexpr (both) store<sums + 2>(to[16], columns), store<sums + 3>(to[16] + 16, columns);
}
inline void sums_of_rows(const std::int32_t* x, Index lda, int rows, const std::int32_t* y, Index words, float (*to)[columns]) {
  if (rows > 16) sums_of_rows<true>(x, lda, rows, y, words, to);
  else sums_of_rows<false>(x, lda, rows, y, words, to);
}

}  // namespace sspo::cpu::SSPO_ISA::matrix_tiles
