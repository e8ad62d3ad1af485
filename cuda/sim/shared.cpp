// A block's shared memory: the dynamic part first, then static arrays in the order in which threads come upon them.
#include <cstring>

#include "checker.hpp"
#include "fiber.hpp"
#include "sim.hpp"
#include "sspo/base/error.hpp"
#if defined(SSPO_SIM_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace sspo::cuda::inline sim {
namespace {

alignas(1024) unsigned char memory[shared_capacity];
struct Array {
  const unsigned char* begin;
  std::size_t bytes;
};
std::vector<Array> arrays;
std::size_t used = 0;
constexpr std::size_t apart = 128;

unsigned char* take(std::size_t bytes, std::size_t align) {
  used = (used + align - 1) / align * align;
  unsigned char* const p = memory + used;
  if (used + bytes > shared_capacity)
    fail({.op = plan_now.kernel, .what = "static and dynamic shared memory", .expected = std::to_string(limits().shared_per_block) + " bytes or fewer", .got = std::to_string(used + bytes)});
  used += bytes + apart;
  arrays.push_back({p, bytes});
#if defined(SSPO_SIM_ASAN)
  __asan_unpoison_memory_region(p, bytes);
#endif
  std::memset(p, 0xff, bytes);  // NaN, until written
  return p;
}

}  // namespace

unsigned char* const shared_memory = memory;

void reset_shared() {
  arrays.clear();
  used = apart;
  ++here.serial;
#if defined(SSPO_SIM_ASAN)
  __asan_poison_memory_region(memory, shared_capacity);
#endif
  here.dynamic = take(here.dynamic_bytes, 1024);
}

void place_shared(SharedArray& array, std::size_t bytes, std::size_t align) { array = {here.serial, take(bytes, align)}; }

bool shared_holds(const void* p, std::size_t bytes) {
  const auto* b = static_cast<const unsigned char*>(p);
  for (const Array& a : arrays)
    if (b >= a.begin && b + bytes <= a.begin + a.bytes) return true;
  return false;
}

}  // namespace sspo::cuda::inline sim
