// The host's calls on a GPU, by way of the CUDA runtime. Every status is looked at; an error names what was being done.
#include "../runtime.hpp"
#include "sspo/base/error.hpp"

namespace sspo::cuda::inline gpu {

void check_call(cudaError_t status, const char* what, const char* about) {
  if (status == cudaSuccess) return;
  fail({.op = about, .what = std::string(what) + " failed", .expected = "cudaSuccess",
        .got = std::string(cudaGetErrorName(status)) + ": " + cudaGetErrorString(status), .hint = "--device cpu or --device cuda-sim run without a GPU"});
}

const DeviceLimits& limits() {
  static const DeviceLimits of_device = [] {
    int device = 0;
    check_call(cudaGetDevice(&device), "looking for a GPU", "device");
    cudaDeviceProp p{};
    check_call(cudaGetDeviceProperties(&p, device), "reading a GPU's properties", "device");
    DeviceLimits l;
    l.name = p.name;
    l.threads_per_block = unsigned(p.maxThreadsPerBlock);
    l.grid_x = unsigned(p.maxGridSize[0]), l.grid_yz = unsigned(p.maxGridSize[1]);
    l.shared_per_block = p.sharedMemPerBlockOptin;
    l.multiprocessors = p.multiProcessorCount;
    return l;
  }();
  return of_device;
}

void use_device(int index) {
  int driver = 0, runtime = 0, count = 0;
  const cudaError_t asked = cudaDriverGetVersion(&driver) == cudaSuccess ? cudaGetDeviceCount(&count) : cudaErrorNoDevice;
  (void)cudaRuntimeGetVersion(&runtime);
  if (asked != cudaSuccess || index >= count || index < 0)
    fail({.op = "cuda", .what = count > 0 ? "there is no GPU of this number" : "there is no GPU here",
          .expected = "an NVIDIA driver (libcuda.so) for CUDA " + std::to_string(runtime / 1000) + "." + std::to_string(runtime % 1000 / 10) + " or later, and GPU " + std::to_string(index),
          .got = driver == 0 ? std::string("no driver") : "driver of CUDA " + std::to_string(driver / 1000) + "." + std::to_string(driver % 1000 / 10) + ", " + std::to_string(count) + " GPUs" + (asked != cudaSuccess ? std::string(" (") + cudaGetErrorString(asked) + ")" : ""),
          .hint = "--device cpu computes on the CPU, --device cuda-sim runs the CUDA kernels there", .kind = ErrorKind::internal});
  check_call(cudaSetDevice(index), "taking the GPU", "cuda");
}

Stream::Stream() {
  cudaStream_t stream = nullptr;
  check_call(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream", "stream");
  handle_ = stream;
}
Stream::~Stream() { (void)cudaStreamDestroy(static_cast<cudaStream_t>(handle_)); }
void Stream::synchronize() { check_call(cudaStreamSynchronize(static_cast<cudaStream_t>(handle_)), "work of a stream", "stream"); }

void* allocate(std::size_t bytes, const char* what) {
  void* p = nullptr;
  check_call(cudaMalloc(&p, bytes), ("allocating " + std::to_string(bytes) + " bytes").c_str(), what);
  return p;
}
void* allocate_chunk(std::size_t bytes) {
  void* p = nullptr;
  const cudaError_t status = cudaMalloc(&p, bytes);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();  // said, not lasting
    return nullptr;
  }
  check_call(status, "allocating a chunk of memory", "arena");
  return p;
}
void note_block(const void*, std::size_t, const char*) {}
void note_block_gone(const void*) {}
std::size_t bytes_between_blocks() { return 0; }

void release(void* p) noexcept { (void)cudaFree(p); }
void copy_in(Stream& s, void* device, const void* host, std::size_t bytes) {
  check_call(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, static_cast<cudaStream_t>(s.handle())), "copying to the GPU", "copy");
}
void copy_out(Stream& s, void* host, const void* device, std::size_t bytes) {
  check_call(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, static_cast<cudaStream_t>(s.handle())), "copying from the GPU", "copy");
  s.synchronize();
}
void copy_within(Stream& s, void* to, const void* from, std::size_t bytes) {
  check_call(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, static_cast<cudaStream_t>(s.handle())), "copying on the GPU", "copy");
}
void fill(Stream& s, void* device, int byte, std::size_t bytes) {
  check_call(cudaMemsetAsync(device, byte, bytes, static_cast<cudaStream_t>(s.handle())), "filling memory of the GPU", "fill");
}

}  // namespace sspo::cuda::inline gpu
