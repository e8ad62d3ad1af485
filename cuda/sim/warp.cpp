// Operations of a whole warp: shuffles, votes, tensor cores and the loads that feed them. Fragment layouts: PTX ISA, 9.7.14.5.
#include <cstring>

#include "scheduler.hpp"

namespace sspo::cuda::inline sim {
namespace {

bool whole(unsigned mask, const char* name) {
  if (mask == whole_warp) return true;
  report("part of a warp", nullptr, nullptr, std::string(name) + " needs all 32 lanes");
  return false;
}

template <class F> void each_lane(unsigned mask, F f) {
  for (; mask; mask &= mask - 1) f(__builtin_ctz(mask));
}

float bits_to_float(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

// Lane l = 4 group + pair holds, of A [16][K], rows group and group + 8; of B [K][8], column group; of C and D [16][8], columns
// 2 pair and 2 pair + 1 of those rows.
struct Place {
  int group, pair;
};
Place place(int lane) { return {lane >> 2, lane & 3}; }

template <int K, class Read> void multiply_add(void** lanes, Read read) {
  float a[16][K], b[K][8], c[16][8];
  for (int l = 0; l < 32; ++l) {
    const Mma& m = *static_cast<Mma*>(lanes[l]);
    const auto [group, pair] = place(l);
    read(m, group, pair, a, b);
    for (int i = 0; i < 4; ++i) c[group + 8 * (i >> 1)][2 * pair + (i & 1)] = m.c[i];
  }
  for (int i = 0; i < 16; ++i)
    for (int k = 0; k < K; ++k)
      for (int j = 0; j < 8; ++j) c[i][j] += a[i][k] * b[k][j];
  for (int l = 0; l < 32; ++l) {
    const Mma& m = *static_cast<Mma*>(lanes[l]);
    const auto [group, pair] = place(l);
    for (int i = 0; i < 4; ++i) m.d[i] = c[group + 8 * (i >> 1)][2 * pair + (i & 1)];
  }
}

// 16-bit operands: register r of A is rows group + 8 (r & 1), columns 2 pair + 8 (r >> 1) and the next; r of B rows 2 pair + 8 r.
template <class Half> void multiply_add_halves(void** lanes) {
  const auto half = [](std::uint32_t bits) {
    Half h;
    h.bits = std::uint16_t(bits);
    return sspo::to_float(h);
  };
  multiply_add<16>(lanes, [&](const Mma& m, int group, int pair, float (*a)[16], float (*b)[8]) {
    for (int r = 0; r < 4; ++r) {
      float* const to = &a[group + 8 * (r & 1)][2 * pair + 8 * (r >> 1)];
      to[0] = half(m.a[r]), to[1] = half(m.a[r] >> 16);
    }
    for (int r = 0; r < 2; ++r) b[2 * pair + 8 * r][group] = half(m.b[r]), b[2 * pair + 8 * r + 1][group] = half(m.b[r] >> 16);
  });
}

struct MatrixRow {
  std::uint32_t* r;
  const void* row;
};
template <bool trans> void spread_matrices(unsigned mask, void** lanes) {
  if (!whole(mask, "ldmatrix")) return;
  std::uint16_t m[4][8][8];  // lane 8 i + j brings row j of matrix i
  for (int l = 0; l < 32; ++l) std::memcpy(m[l / 8][l % 8], static_cast<MatrixRow*>(lanes[l])->row, 16);
  for (int l = 0; l < 32; ++l)
    for (int i = 0; i < 4; ++i) {
      const auto [group, pair] = place(l);
      const std::uint32_t low = trans ? m[i][2 * pair][group] : m[i][group][2 * pair];
      const std::uint32_t high = trans ? m[i][2 * pair + 1][group] : m[i][group][2 * pair + 1];
      static_cast<MatrixRow*>(lanes[l])->r[i] = low | high << 16;
    }
}

}  // namespace

void meet(unsigned, void**) {}

void shuffle(unsigned mask, void** lanes) {
  each_lane(mask, [&](int l) {
    Shuffle& s = *static_cast<Shuffle*>(lanes[l]);
    const int first = l & ~(s.width - 1), last = first + s.width - 1;
    int from = l;
    if (s.way == 0) from = first + (s.lane & (s.width - 1));
    if (s.way == 1 && l - s.lane >= first) from = l - s.lane;
    if (s.way == 2 && l + s.lane <= last) from = l + s.lane;
    if (s.way == 3 && (l ^ s.lane) <= last) from = l ^ s.lane;
    if (mask >> from & 1) {
      s.out = static_cast<Shuffle*>(lanes[from])->in;
    } else {
      report(s.mask >> from & 1 ? "shuffle from a lane that has ended" : "shuffle from a lane outside the mask", nullptr, nullptr, "lane " + std::to_string(l) + " reads lane " + std::to_string(from));
      s.out = ~0ull;
    }
  });
}

void vote(unsigned mask, void** lanes) {
  unsigned who = 0;
  each_lane(mask, [&](int l) { who |= unsigned(static_cast<Vote*>(lanes[l])->yes) << l; });
  each_lane(mask, [&](int l) { static_cast<Vote*>(lanes[l])->who = who; });
}

void mma_bf16(unsigned mask, void** lanes) {
  if (!whole(mask, "mma")) return;
  count_mma(16);
  multiply_add_halves<bf16>(lanes);
}
void mma_f16(unsigned mask, void** lanes) {
  if (!whole(mask, "mma")) return;
  count_mma(16);
  multiply_add_halves<f16>(lanes);
}
void mma_tf32(unsigned mask, void** lanes) {
  if (!whole(mask, "mma")) return;
  count_mma(8);
  const auto read32 = [](std::uint32_t bits) { return bits_to_float(bits & 0xffffe000u); };  // the low 13 bits are not looked at
  multiply_add<8>(lanes, [&](const Mma& m, int group, int pair, float (*a)[8], float (*b)[8]) {
    for (int r = 0; r < 4; ++r) a[group + 8 * (r & 1)][pair + 4 * (r >> 1)] = read32(m.a[r]);
    for (int r = 0; r < 2; ++r) b[pair + 4 * r][group] = read32(m.b[r]);
  });
}

void load_matrices(std::uint32_t* r, const void* row, bool trans, const void* where) {
  touch(row, 16, 4, where);
  MatrixRow mine{r, row};
  together(whole_warp, trans ? &spread_matrices<true> : &spread_matrices<false>, &mine, "ldmatrix", where);
}

void copy_later(void* to, const void* from, bool valid, const void* where) {
  if (valid) touch(from, 16, 0, where);
  touch(to, 16, 8, where);
  Fiber& f = running();
  f.copies.push_back({to, from, valid, f.copy_group, where, 0});
  copy_leaves(f.copies.back());
}
void cp_async_commit() { ++running().copy_group; }
void wait_copies(int still_in_flight) {  // the bytes arrive here and no earlier: a kernel that does not wait reads old ones
  Fiber& f = running();
  std::size_t done = 0;
  for (; done < f.copies.size() && f.copies[done].group < f.copy_group - still_in_flight; ++done) {
    const PendingCopy& c = f.copies[done];
    if (c.valid) std::memcpy(c.to, c.from, 16);
    else std::memset(c.to, 0, 16);
    copy_arrives(c);
  }
  f.copies.erase(f.copies.begin(), f.copies.begin() + std::ptrdiff_t(done));
}

}  // namespace sspo::cuda::inline sim
