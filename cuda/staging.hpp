// Copies between the device and any memory of the host, by way of pinned slots.
//   Staging staging(stream);   staging.upload(device, host, bytes);   staging.download(host, device, bytes);
#pragma once
#include <deque>
#include <mutex>

#include "runtime.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

class Staging {
 public:
  explicit Staging(Stream& stream, std::size_t slot_bytes = std::size_t(1) << 20) : stream_(stream), slot_bytes_(slot_bytes) {}
  ~Staging();  // waits: the device may still read a slot
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  // Returns once the bytes are in slots: the host may write its memory again. A full slot is written again when the event after its last
  // copy is done.
  void upload(void* device, const void* host, std::size_t bytes);
  // Returns when the bytes are there. One slot is emptied while the device fills the other.
  void download(void* host, const void* device, std::size_t bytes);

 private:
  struct Slot {
    explicit Slot(std::size_t bytes) : memory(bytes) {}
    Pinned memory;
    Event copied;
  };
  Slot& slot(std::deque<Slot>& way, std::size_t i);  // one of two, in turn

  Stream& stream_;
  std::size_t slot_bytes_;
  std::mutex mutex_;
  std::deque<Slot> up_, down_;      // made at first use
  std::size_t now_ = 0, used_ = 0;  // the slot that uploads fill, and how far
};

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
