// A of a convolution as a product: what the taps see of an image, with zeros outside it, copied row by row (ConvPatches) or read where a
// padded copy of the image lies (ConvImages). No im2col buffer exists.
#pragma once
#include "cpu/isa/gemm_engine.hpp"

namespace sspo::cpu::SSPO_ISA {

// The taps along one axis that meet an output position q: tap first + i step of the weight, at input position
// q scale + offset + i offset_step, for i < count.
struct Taps {
  Index count, first, step;
  Index scale, offset, offset_step;
  Index at(Index q, Index i) const { return q * scale + offset + i * offset_step; }
};

inline Taps forward_taps(Index kernel, Index stride, Index pad, Index dilation) {
  return {kernel, 0, 1, stride, -pad, dilation};
}

// The data gradient: x's position p = r + q stride met y's position o through tap u if p + pad = o stride + u
// dilation. For each residue r those u are equally far apart, and o moves by 1 when q does.
inline Taps backward_taps(Index kernel, Index stride, Index pad, Index dilation, Index r) {
  Index step = 1, first = 0;
  while (step * dilation % stride != 0) ++step;
  while (first < step && (r + pad - first * dilation) % stride != 0) ++first;
  if (first == step || first >= kernel) return {0, 0, 1, 1, 0, 0};
  // The last of them first: it meets the smallest o, so that o grows with the tap's number.
  const Index count = (kernel - first + step - 1) / step, apart = dilation * step / stride;
  return {count, first + (count - 1) * step, -step, 1, (r + pad - first * dilation) / stride - (count - 1) * apart, apart};
}

// What the taps see of an image [batch, h, w, pixel]: one line for each output position of the grid
// [batch, grid_h, grid_w], taps x channels long, zero outside the image.
template <class T>
struct ConvPatches {
  const T* data;
  Index h, w, pixel, channels;
  Index grid_h, grid_w;
  Taps down, across;

  struct Position {
    Index b, y, x;
  };
  Position position(Index i) const { return {i / grid_w / grid_h, i / grid_w % grid_h, i % grid_w}; }
  Position next(Position p) const {
    if (++p.x == grid_w) {
      p.x = 0;
      if (++p.y == grid_h) p.y = 0, ++p.b;
    }
    return p;
  }
  // The channels tap (u, v) sees from p, or null outside the image.
  const T* seen(Position p, Index u, Index v) const {
    const Index y = down.at(p.y, u), x = across.at(p.x, v);
    return y >= 0 && y < h && x >= 0 && x < w ? data + ((p.b * h + y) * w + x) * pixel : nullptr;
  }

  const ConvPatches& item(Index) const { return *this; }
  template <class P>
  const typename P::Word* in_place(Index) const { return nullptr; }
  Index words_apart(int) const { return 0; }

  // As A: lines are positions, k = (tap, channel).
  template <class P>
  void pack_rows(Index i0, Index lines, Index k0, Index nk, typename P::Word* to, Index ld) const {
    if (nk == 0) return;  // no tap of this residue
    Position p = position(i0);
    const Index t0 = k0 / channels, c0 = k0 % channels;
    for (Index i = 0; i < lines; ++i, p = next(p), to += ld) {
      Index u = t0 / across.count, v = t0 % across.count, c = c0;
      for (Index k = 0; k < nk; c = 0) {
        const Index n = min(channels - c, nk - k);
        const T* const from = seen(p, u, v);
        put<P>(from ? from + c : nullptr, n, to, k);
        k += n;
        if (++v == across.count) v = 0, ++u;
      }
      if (P::depth == 2 && nk % 2) put<P>(nullptr, 1, to, nk);
    }
  }

  Runs runs(Index, Index, Index, Index) const { return {data, 0, 0, 0}; }  // several products have just read it

  // As B of the weight gradient: columns are (tap, channel), k = position.
  template <class P>
  void pack_panels(Index j0, Index n, Index k0, Index nk, typename P::Word* to) const {
    const Index words = P::words(nk);
    clear_last_panel<P>(n, words, to);
    // A few panels at a time, so that what is being written fits L1 whatever the panels' distance.
    for (Index j = 0; j < n;) {
      const Index t = (j0 + j) / channels, c = (j0 + j) % channels, u = t / across.count, v = t % across.count;
      const Index count = min(min(channels - c, n - j), 4 * P::NR - j % P::NR);
      Position p = position(k0);
      const auto take = [&](Index k) -> const T* {
        if (k >= nk) return nullptr;
        const T* const from = seen(p, u, v);
        p = next(p);
        return from ? from + c : nullptr;
      };
      for (Index kw = 0; kw < words; ++kw) {
        const T* const lo = take(kw * P::depth);
        const T* const hi = P::depth == 2 ? take(kw * 2 + 1) : nullptr;
        copy_across_panels<P>(lo, hi, j, count, to + kw * P::NR, words * P::NR);
      }
      j += count;
    }
  }

 private:
  // n elements (null: zeros) to elements k, k + 1, ... of a row of words.
  template <class P>
  static void put(const T* from, Index n, typename P::Word* row, Index k) {
    if constexpr (P::depth == 1) {
      if (from) Along<P>::copy(from, n, row + k);
      else Across<P>::copy(nullptr, nullptr, n, row + k);
    } else {  // pairs along k lie as the elements do
      char* const at = reinterpret_cast<char*>(row) + std::size_t(k) * sizeof(T);
      if (from) __builtin_memcpy(at, from, std::size_t(n) * sizeof(T));
      else __builtin_memset(at, 0, std::size_t(n) * sizeof(T));
    }
  }
};

// The same, read in place: a task copies the rows of the images that its positions see, with their padding, and then the taps of one row of the
// kernel are `across.count` pixels side by side, wherever the position: K is down.count strips. Copies each pixel about once, not once a tap.
template <class T>
struct ConvImages {
  ConvPatches<T> patches;  // whole pixels, neighbouring taps meet neighbouring pixels

  static bool can(const ConvPatches<T>& p) {
    return p.pixel == p.channels && p.down.count > 0 && p.across.count > 1 && p.across.offset_step == 1 && p.down.offset_step > 0 &&
           p.across.count * p.channels <= strip_most;
  }
  static constexpr Index strip_most = 512;

  const ConvImages& item(Index) const { return *this; }
  Index width() const { return ((patches.grid_w - 1) * patches.across.scale + patches.across.count) * patches.channels; }
  Index strip() const { return patches.across.count * patches.channels; }
  Strips strips() const { return {strip(), patches.down.offset_step * width() - strip()}; }

  // Tasks are whole rows of the grid, or whole images where they are small, and whole tiles where that can be; blocks of k are whole strips.
  template <class P>
  void cut(const Size& s, Plan& p) const {
    const Index image = patches.grid_w * patches.grid_h, wanted = min(288, max(48, s.m / 16)), unit = image <= wanted ? image : patches.grid_w;
    p.rows = ceil_div(wanted, unit) * unit;
    for (Index rows = p.rows; rows <= p.rows + wanted; rows += unit)
      if (rows % P::MR == 0) { p.rows = rows; break; }
    p.cols = round_up(s.n, P::NR);
    p.row_tasks = ceil_div(s.m, p.rows), p.col_tasks = 1;
    p.slices = 1, p.slice = s.k, p.share_b = true;
    const Index most = 448 / strip() * strip();
    p.kc = s.k <= 448 ? s.k : max(strip(), ceil_div(s.k, ceil_div(s.k, max(strip(), most)) * strip()) * strip());
    p.rows_at_once = p.rows;
  }

  // The copy begins with where each position's first pixel lies.
  Index image_rows(Index lines) const { return (lines - 1) * patches.down.scale + (patches.down.count - 1) * patches.down.offset_step + 1; }
  Index copied_words(Index rows) const {
    const Index lines = min(rows, (rows - 2) / patches.grid_w + 2), seen = lines / patches.grid_h + 2;  // rows of the grid, images
    return places_words(rows) + (lines * patches.down.scale + seen * image_rows(1)) * width();
  }
  static Index places_words(Index rows) { return round_up(rows * Index(sizeof(Index)) / Index(sizeof(T)), 16); }

  void copy_images(Index i0, Index rows, T* to) const {
    const ConvPatches<T>& p = patches;
    Index* const places = reinterpret_cast<Index*>(to);
    const Index channels = p.channels, left = max(0, min(width() / channels, -p.across.offset));
    const Index seen = max(0, min(p.w - max(0, p.across.offset), width() / channels - left));  // pixels of the image in a copied row
    T* row = to + places_words(rows);
    for (Index i = i0; i < i0 + rows;) {
      const Index b = i / p.grid_w / p.grid_h, y0 = i / p.grid_w % p.grid_h, last = min(i0 + rows, (b + 1) * p.grid_h * p.grid_w);  // of this image
      const Index y1 = (last - 1) / p.grid_w % p.grid_h;
      for (Index x = i % p.grid_w, y = 0; i < last; ++i) {
        places[i - i0] = row - to + y * p.down.scale * width() + x * p.across.scale * channels;
        if (++x == p.grid_w) x = 0, ++y;
      }
      for (Index r = 0, n = image_rows(y1 - y0 + 1); r < n; ++r, row += width()) {
        const Index y = y0 * p.down.scale + p.down.offset + r;
        if (y < 0 || y >= p.h) {
          __builtin_memset(row, 0, std::size_t(width()) * sizeof(T));
          continue;
        }
        const T* const from = p.data + ((b * p.h + y) * p.w + max(0, p.across.offset)) * channels;
        __builtin_memset(row, 0, std::size_t(left * channels) * sizeof(T));
        __builtin_memcpy(row + left * channels, from, std::size_t(seen * channels) * sizeof(T));
        __builtin_memset(row + (left + seen) * channels, 0, std::size_t(width() - (left + seen) * channels) * sizeof(T));
      }
    }
  }
  const T* row(const T* copy, Index i, Index k0) const {
    return copy + reinterpret_cast<const Index*>(copy)[i] + k0 / strip() * patches.down.offset_step * width();
  }
  Runs runs(Index, Index, Index, Index) const { return {patches.data, 0, 0, 0}; }
};

// By way of copied images where that can be and there is work for all: with few positions K is cut instead.
template <class T, class B, class C>
void multiply_patches(const Context& ctx, const Size& size, const ConvPatches<T>& patches, const B& b, const C& c, const Finish<T>& f, const void* packed = nullptr) {
  if constexpr (std::is_same_v<T, float>) {  // doubles are for checks: not worth the compiler's time
    if (size.m >= 256 && ConvImages<T>::can(patches)) return multiply<T, T>(ctx, size, ConvImages<T>{patches}, b, c, f, packed);
  }
  multiply<T, T>(ctx, size, patches, b, c, f, packed);
}

}  // namespace sspo::cpu::SSPO_ISA
