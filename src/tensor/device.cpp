#include "sspo/base/device.hpp"

#include "backend.hpp"
#include "cpu/cpu_backend.hpp"
#include "sspo/tensor/rehearsal.hpp"

namespace sspo {

DeviceState::DeviceState(DeviceKind kind_, Arena::Options memory, std::unique_ptr<Backend> backend_)
    : kind(kind_), arena(memory), backend(std::move(backend_)) {}

Device Device::cpu() {
  static const Device device = cpu(CpuOptions{});
  return device;
}
Device Device::cpu(CpuOptions options) { return Device(cpu::make_device(options)); }

Device rehearsal_device(const CpuOptions& options) { return Device(cpu::make_device(options, false)); }

DeviceKind Device::kind() const { return state_->kind; }
std::string Device::name() const { return state_->backend->name(); }
int Device::threads() const { return state_->backend->threads(); }
MemoryStats Device::memory() const { return state_->arena.stats(); }
void Device::reset_peak_memory() const { state_->arena.reset_peak(); }
void Device::trim_memory() const { state_->arena.trim(); }
std::string Device::memory_holders() const { return state_->arena.holders(); }

}  // namespace sspo
