#include "staging.hpp"

#include <algorithm>
#include <cstring>

#include "sspo/base/error.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

Staging::~Staging() {
  if (up_.empty()) return;
  try {
    stream_.synchronize();
  } catch (const Error&) {  // nobody waits for it
  }
}

Staging::Slot& Staging::slot(std::deque<Slot>& way, std::size_t i) {
  while (way.size() <= i % 2) way.emplace_back(slot_bytes_);
  return way[i % 2];
}

void Staging::upload(void* device, const void* host, std::size_t bytes) {
  const std::lock_guard guard(mutex_);
  constexpr std::size_t alignment = 64;
  for (std::size_t sent = 0; sent < bytes;) {
    if (used_ == slot_bytes_) {
      slot(up_, now_).copied.record(stream_);
      slot(up_, now_ + 1).copied.wait();
      ++now_, used_ = 0;
    }
    const Slot& s = slot(up_, now_);
    const std::size_t n = std::min(bytes - sent, slot_bytes_ - used_);
    std::memcpy(s.memory.data() + used_, static_cast<const char*>(host) + sent, n);
    cuda::upload(stream_, static_cast<char*>(device) + sent, s.memory, used_, n);
    sent += n;
    used_ = std::min(slot_bytes_, (used_ + n + alignment - 1) / alignment * alignment);
  }
}

void Staging::download(void* host, const void* device, std::size_t bytes) {
  const std::lock_guard guard(mutex_);
  const std::size_t parts = (bytes + slot_bytes_ - 1) / slot_bytes_;
  const auto size = [&](std::size_t part) { return std::min(slot_bytes_, bytes - part * slot_bytes_); };
  for (std::size_t part = 0; part <= parts && parts > 0; ++part) {
    if (part < parts) {
      Slot& s = slot(down_, part);
      cuda::download(stream_, s.memory, 0, static_cast<const char*>(device) + part * slot_bytes_, size(part));
      s.copied.record(stream_);
    }
    if (part == 0) continue;
    const Slot& filled = slot(down_, part - 1);
    filled.copied.wait();
    std::memcpy(static_cast<char*>(host) + (part - 1) * slot_bytes_, filled.memory.data(), size(part - 1));
  }
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
