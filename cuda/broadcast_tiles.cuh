// How an elementwise kernel cuts a result whose operands repeat (a bias added to a matrix, [R, 1] + [1, C]): into tiles of columns, rows
// and layers, the three innermost axes of the walk. What repeats within a tile is asked for once and lies in shared memory.
//   const TileNeeds<2> needs{walk, items, out_item, sizeof(T), packed};
//   if (needs.tiles()) { const Tiles<2> tiles = needs.cut(); ... }                                        // host
//   const TileOf tile(tiles, blockIdx.x);   kept[tile.place(tiles, run, begin, e).slot(tiles, staged)]    // kernel
#pragma once
#include "strided.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

// Where an operand's numbers for a tile lie in shared memory: column + row * step[1] + layer * step[2] from `first`, step 0 along axes that
// it repeats for. `wraps`: rows end with the first `together` columns once more, so that lanes served together, on both sides of a row's
// end in the result, read side by side: no bank twice.
struct Staged {
  bool here = false, wraps = false;
  std::uint32_t first = 0, step[3] = {};
};

template <int N> struct Tiles {
  std::uint32_t extent[3], size[3];  // columns, rows, layers: of the walk; of a tile
  Divisor columns, across, down, deep;  // the walk's columns; tiles along each of the axes
  std::uint32_t together = 32;       // numbers that shared memory gives lanes at a time: 128 bytes
  Staged staged[N];
  std::uint32_t slots = 0;           // numbers in shared memory
  Index count = 0;                   // tiles
};

// Where an element lies in its tile; `wrapped`: in another row than the first of the lanes that shared memory serves with it.
struct TilePlace {
  std::uint32_t column, row, layer;
  bool wrapped;
  template <int N> SSPO_DEVICE std::uint32_t slot(const Tiles<N>& t, const Staged& s) const {
    return s.first + column * s.step[0] + row * s.step[1] + layer * s.step[2] + (wrapped && s.wraps ? t.columns.d : 0);
  }
};

// One tile. Its elements in the result are `runs` of `run_size` neighbours: whole rows and layers lie one behind the other.
struct TileOf {
  std::uint32_t begin, columns, rows, layers;  // first element; size
  std::uint32_t runs, run_size, run_rows;      // run_rows: rows that a run takes, or begins in
  template <int N> SSPO_DEVICE TileOf(const Tiles<N>& t, std::uint32_t tile) {
    const std::uint32_t strip = t.across.quotient(tile), layer = t.down.quotient(strip), outer = t.deep.quotient(layer);
    const std::uint32_t c = (tile - strip * t.across.d) * t.size[0], r = (strip - layer * t.down.d) * t.size[1], l = (layer - outer * t.deep.d) * t.size[2];
    columns = least(t.size[0], t.extent[0] - c), rows = least(t.size[1], t.extent[1] - r), layers = least(t.size[2], t.extent[2] - l);
    begin = ((outer * t.extent[2] + l) * t.extent[1] + r) * t.extent[0] + c;
    run_rows = columns < t.extent[0] ? 1 : rows < t.extent[1] ? rows : rows * layers;
    runs = rows * layers / run_rows;
    run_size = columns * run_rows;
  }
  // Where row `row` of all rows of the tile's layers begins.
  template <int N> SSPO_DEVICE std::uint32_t row_begin(const Tiles<N>& t, std::uint32_t row) const {
    const std::uint32_t l = layers > 1 ? row / rows : 0;
    return begin + (l * t.extent[1] + row - l * rows) * t.extent[0];
  }
  // Of element e of run `run`, which begins at `first`.
  template <int N> SSPO_DEVICE TilePlace place(const Tiles<N>& t, std::uint32_t run, std::uint32_t first, std::uint32_t e) const {
    const std::uint32_t beside = e / t.together * t.together;
    const std::uint32_t down = t.columns.quotient(e - first), above = beside > first ? t.columns.quotient(beside - first) : 0;
    const auto layer_of = [&](std::uint32_t row) { return layers > 1 ? row / rows : 0; };
    const std::uint32_t row = run * run_rows + down, layer = layer_of(row);
    return {e - first - down * t.columns.d, row - layer * rows, layer, down != above && layer_of(row - down + above) == layer};
  }
  SSPO_DEVICE static std::uint32_t least(std::uint32_t a, std::uint32_t b) { return a < b ? a : b; }
};

// What a result asks of a cut. The walk's operands have items of `items` bytes, the result of `out_item`; computed in numbers of
// `item` bytes, in packs of 16 bytes or one by one.
template <int N> struct TileNeeds {
  const Walk<N>& walk;
  const int (&items)[N];
  int out_item, item;
  bool packed;

  Index extent(int axis) const { return axis < walk.rank ? walk.extent[axis] : 1; }
  bool repeats(int k, int axis) const { return axis < walk.rank && walk.stride[k][axis] == 0; }
  bool repeats(int k) const { return repeats(k, 0) || repeats(k, 1) || repeats(k, 2); }
  // Bytes an element of what does not repeat: the result, and operands of its shape.
  int streamed() const {
    int bytes = out_item;
    for (int k = 0; k < N; ++k) bytes += repeats(k) ? 0 : items[k];
    return bytes;
  }
  int repeating() const {
    int count = 0;
    for (int k = 0; k < N; ++k) count += repeats(k);
    return count;
  }

  // Whether tiles are worth it: not where nothing repeats, nor where what does is one number for a warp's 32 packs, a sector beside
  // packs of `streamed()` bytes an element.
  bool tiles() const {
    const int count = repeating(), V = 16 / item;
    bool numbers = packed && (walk.rank == 1 || walk.extent[0] >= 32 * V);
    for (int k = 0; k < N; ++k) numbers = numbers && (!repeats(k) || repeats(k, 0));
    return count > 0 && !(numbers && 100 * count <= 8 * V * streamed());
  }

  // Tiles in which each operand repeats so often that all of them ask for a sixteenth of what is streamed; of 4,096 elements at least, so
  // that their ends, which fill no sectors, weigh little; of at most 1,024 columns.
  Tiles<N> cut() const {
    constexpr Index elements = 4096, most_columns = 1024, room = 40 * 1024;
    const Index C = extent(0), R = extent(1), L = extent(2);
    const auto evenly = [](Index all, Index each) { return (all + std::max<Index>(all / each, 1) - 1) / std::max<Index>(all / each, 1); };
    Index columns = C <= most_columns ? C : ((C + (C + most_columns - 1) / most_columns - 1) / ((C + most_columns - 1) / most_columns) + 31) / 32 * 32;
    for (;; columns = (columns / 2 + 31) / 32 * 32) {
      Index rows = columns == C ? (elements + C - 1) / C : 1, layers = 1;
      for (int k = 0; k < N; ++k)
        if (repeats(k, 1)) rows = std::max(rows, times(k) / (repeats(k, 0) ? columns : 1) + 1);
      rows = evenly(R, std::min(rows, R));
      if (columns == C && rows == R) layers = (elements + C * R - 1) / (C * R);
      for (int k = 0; k < N; ++k)
        if (repeats(k, 2)) layers = std::max(layers, times(k) / ((repeats(k, 0) ? columns : 1) * (repeats(k, 1) ? rows : 1)) + 1);
      layers = evenly(L, std::min(layers, L));
      const Tiles<N> tiles = of(columns, rows, layers);
      if (Index(tiles.slots) * item <= room || columns <= 64) return tiles;
    }
  }

 private:
  // How often operand k should repeat in a tile.
  Index times(int k) const { return repeats(k) ? (16 * repeating() * items[k] - 1) / streamed() : 0; }

  Tiles<N> of(Index columns, Index rows, Index layers) const {
    Tiles<N> t;
    const Index size[3] = {columns, rows, layers};
    t.columns = Divisor(extent(0));
    t.together = std::uint32_t(128 / item);
    t.count = 1;
    Divisor* const tiles[3] = {&t.across, &t.down, &t.deep};
    for (int axis = 0; axis < 3; ++axis) {
      t.extent[axis] = std::uint32_t(extent(axis)), t.size[axis] = std::uint32_t(size[axis]);
      *tiles[axis] = Divisor((extent(axis) + size[axis] - 1) / size[axis]);
      t.count *= tiles[axis]->d;
    }
    for (int axis = 3; axis < walk.rank; ++axis) t.count *= walk.extent[axis];
    for (int k = 0; k < N; ++k) {
      if (!repeats(k)) continue;
      Staged& s = t.staged[k];
      s.here = true, s.first = t.slots;
      s.wraps = !repeats(k, 0) && repeats(k, 1) && columns == extent(0) && columns > t.together && rows > 1;
      std::uint32_t slots = 1;
      for (int axis = 0; axis < 3; ++axis) {
        s.step[axis] = repeats(k, axis) ? 0 : slots;
        if (!repeats(k, axis)) slots *= t.size[axis];
        if (axis == 1 && s.wraps) slots += t.together;
      }
      t.slots += (slots + 3) / 4 * 4;
    }
    return t;
  }
};

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
