// The host's calls on a GPU, by way of the CUDA runtime. Every status is looked at; an error names what was being done.
#include <map>
#include <mutex>

#include "../failures.hpp"
#include "../runtime.hpp"
#include "sspo/base/error.hpp"

namespace sspo::cuda::inline gpu {

static_assert(int(Answer::out_of_memory) == cudaErrorMemoryAllocation && int(Answer::no_kernel_image) == cudaErrorNoKernelImageForDevice &&
              int(Answer::uncorrectable_memory) == cudaErrorECCUncorrectable && int(Answer::illegal_address) == cudaErrorIllegalAddress &&
              int(Answer::external_device) == cudaErrorExternalDevice && int(Answer::tensor_memory_leak) == cudaErrorTensorMemoryLeak);

std::string text_of(Answer a) {
  const auto status = cudaError_t(int(a));
  return std::string(cudaGetErrorName(status)) + " (" + std::to_string(int(a)) + "): " + cudaGetErrorString(status);
}
std::string code_held() {
  std::string text;
  for (const int arch : {__CUDA_ARCH_LIST__}) text += (text.empty() ? "" : ", ") + std::to_string(arch / 100) + "." + std::to_string(arch / 10 % 10);
  return text + ", and later ones by PTX";
}

const DeviceLimits& limits() {
  static const DeviceLimits of_device = [] {
    int device = 0;
    check_call(cudaGetDevice(&device), {.what = "looking for a GPU", .who = "device"});
    cudaDeviceProp p{};
    check_call(cudaGetDeviceProperties(&p, device), {.what = "reading a GPU's properties", .who = "device"});
    DeviceLimits l;
    l.name = p.name;
    l.threads_per_block = unsigned(p.maxThreadsPerBlock);
    l.grid_x = unsigned(p.maxGridSize[0]), l.grid_yz = unsigned(p.maxGridSize[1]);
    l.shared_per_block = p.sharedMemPerBlockOptin;
    l.multiprocessors = p.multiProcessorCount;
    l.capability = p.major * 10 + p.minor;
    return l;
  }();
  return of_device;
}

void use_device(int index) {
  require_device("cuda");
  int driver = 0, runtime = 0, count = 0;
  const cudaError_t asked = cudaDriverGetVersion(&driver) == cudaSuccess ? cudaGetDeviceCount(&count) : cudaErrorNoDevice;
  (void)cudaRuntimeGetVersion(&runtime);
  if (asked != cudaSuccess || index >= count || index < 0)
    fail({.op = "cuda", .what = count > 0 ? "there is no GPU of this number" : "there is no GPU here",
          .expected = "an NVIDIA driver (libcuda.so) for CUDA " + std::to_string(runtime / 1000) + "." + std::to_string(runtime % 1000 / 10) + " or later, and GPU " + std::to_string(index),
          .got = driver == 0 ? std::string("no driver") : "driver of CUDA " + std::to_string(driver / 1000) + "." + std::to_string(driver % 1000 / 10) + ", " + std::to_string(count) + " GPUs" + (asked != cudaSuccess ? std::string(" (") + cudaGetErrorString(asked) + ")" : ""),
          .hint = "--device cpu computes on the CPU, --device cuda-sim runs the CUDA kernels there", .kind = ErrorKind::internal});
  check_call(cudaSetDevice(index), {.what = "taking the GPU", .who = "cuda"});
}

// --- streams

struct Stream::State {
  cudaStream_t stream = nullptr;
  bool graphs = false;
  std::mutex mutex;  // of what follows
  bool recording = false;
  std::map<std::size_t, cudaGraphExec_t> executables;  // by number of nodes
  GraphCounts counts;
};
struct RawStream {  // past the recording
  static cudaStream_t of(Stream& s) { return s.state_->stream; }
};
namespace {

// A recorded graph, run as the update of an executable as long, or as one made anew.
cudaError_t launch_graph(cudaGraph_t graph, cudaStream_t stream, std::map<std::size_t, cudaGraphExec_t>& executables, GraphCounts& counts) {
  std::size_t nodes = 0;
  if (const cudaError_t e = cudaGraphGetNodes(graph, nullptr, &nodes); e != cudaSuccess || nodes == 0) return e;
  constexpr std::size_t most = 64;
  if (executables.size() >= most && !executables.count(nodes)) {
    for (const auto& kept : executables) (void)cudaGraphExecDestroy(kept.second);
    executables.clear();
  }
  cudaGraphExec_t& executable = executables[nodes];
  cudaGraphExecUpdateResultInfo result;
  if (executable && cudaGraphExecUpdate(executable, graph, &result) != cudaSuccess) {  // another chain of nodes
    (void)cudaGetLastError();
    (void)cudaGraphExecDestroy(executable);
    executable = nullptr;
  }
  if (!executable) {
    if (const cudaError_t e = cudaGraphInstantiate(&executable, graph, 0); e != cudaSuccess) {
      executables.erase(nodes);
      return e;
    }
    ++counts.made;
  }
  ++counts.launched;
  return cudaGraphLaunch(executable, stream);
}

}  // namespace

Stream::Stream(bool graphs) : state_(std::make_shared<State>()) {
  require_device("stream");
  check_call(cudaStreamCreateWithFlags(&state_->stream, cudaStreamNonBlocking), {.what = "making a stream", .who = "stream"});
  state_->graphs = graphs;
}
Stream::~Stream() {
  if (device_lost()) return;
  cudaGraph_t unwanted = nullptr;
  if (state_->recording && cudaStreamEndCapture(state_->stream, &unwanted) == cudaSuccess) (void)cudaGraphDestroy(unwanted);
  for (const auto& kept : state_->executables) (void)cudaGraphExecDestroy(kept.second);
  (void)cudaStreamDestroy(state_->stream);
}
// Relaxed: the arena may take a chunk, and a library load its kernels, in the middle of a recording.
void* Stream::handle() {
  require_device("stream");
  if (!state_->graphs) return state_->stream;
  const std::lock_guard guard(state_->mutex);
  if (!state_->recording) {
    check_call(cudaStreamBeginCapture(state_->stream, cudaStreamCaptureModeRelaxed), {.what = "beginning a graph", .who = "stream"});
    state_->recording = true;
  }
  return state_->stream;
}
void Stream::flush() {
  const std::lock_guard guard(state_->mutex);
  if (!state_->recording) return;
  require_device("graph");
  state_->recording = false;
  cudaGraph_t graph = nullptr;
  check_call(cudaStreamEndCapture(state_->stream, &graph), {.what = "ending a graph", .who = "stream", .promised = true});
  const cudaError_t status = launch_graph(graph, state_->stream, state_->executables, state_->counts);
  (void)cudaGraphDestroy(graph);
  check_call(status, {.what = "launching a graph", .who = "stream", .promised = true});
}
void Stream::synchronize() {
  flush();
  require_device("stream");
  check_call(cudaStreamSynchronize(state_->stream), {.what = "waiting for work", .who = "stream"});
}
GraphCounts Stream::graphs() const {
  const std::lock_guard guard(state_->mutex);
  return state_->counts;
}

// --- events

struct Event::State {
  cudaEvent_t event = nullptr;
};
void Stream::wait(const Event& event) {
  flush();
  require_device("stream");
  check_call(cudaStreamWaitEvent(state_->stream, event.state_->event, 0), {.what = "waiting for another stream", .who = "stream"});
}
Event::Event() : state_(std::make_unique<State>()) {
  require_device("event");
  check_call(cudaEventCreate(&state_->event), {.what = "making an event", .who = "event"});
}
Event::~Event() {
  if (!device_lost()) (void)cudaEventDestroy(state_->event);
}
void Event::record(Stream& stream) {
  stream.flush();
  require_device("event");
  check_call(cudaEventRecord(state_->event, RawStream::of(stream)), {.what = "recording an event", .who = "event"});
}
void Event::wait() const {
  require_device("event");
  check_call(cudaEventSynchronize(state_->event), {.what = "waiting for work", .who = "event"});
}
bool Event::done() const {
  require_device("event");
  const cudaError_t status = cudaEventQuery(state_->event);
  if (status == cudaErrorNotReady) return (void)cudaGetLastError(), false;
  check_call(status, {.what = "asking for work", .who = "event"});
  return true;
}
double Event::milliseconds_since(const Event& earlier) const {
  require_device("event");
  float ms = 0;
  check_call(cudaEventElapsedTime(&ms, earlier.state_->event, state_->event), {.what = "measuring time", .who = "event"});
  return double(ms);
}

// --- memory

Pinned::Pinned(std::size_t bytes) : data_(nullptr), bytes_(bytes) {
  require_device("pinned memory");
  check_call(cudaMallocHost(reinterpret_cast<void**>(&data_), bytes), {.what = "pinning memory of the host", .who = "copies", .bytes = bytes});
}
Pinned::~Pinned() {
  if (!device_lost()) (void)cudaFreeHost(data_);
}
void* allocate(std::size_t bytes, const char* what) {
  require_device(what);
  void* p = nullptr;
  check_call(cudaMalloc(&p, bytes), {.what = "allocating", .who = what, .bytes = bytes});
  return p;
}
void* allocate_chunk(std::size_t bytes) {
  require_device("arena");
  void* p = nullptr;
  const cudaError_t status = cudaMalloc(&p, bytes);
  if (status == cudaErrorMemoryAllocation) return (void)cudaGetLastError(), nullptr;  // the arena says who holds what
  check_call(status, {.what = "allocating", .who = "arena", .bytes = bytes});
  return p;
}
void note_block(Stream&, const void*, std::size_t, const char*) noexcept {}
void note_block_gone(Stream&, const void*) noexcept {}
std::size_t bytes_between_blocks() { return 0; }
void release(void* p) noexcept {
  if (!device_lost()) (void)cudaFree(p);
}

// --- copies

void upload(Stream& s, void* device, const Pinned& from, std::size_t first, std::size_t bytes) {
  check_call(cudaMemcpyAsync(device, from.data() + first, bytes, cudaMemcpyHostToDevice, static_cast<cudaStream_t>(s.handle())), {.what = "copying to the device", .who = "copy", .bytes = bytes});
}
void download(Stream& s, const Pinned& to, std::size_t first, const void* device, std::size_t bytes) {
  check_call(cudaMemcpyAsync(to.data() + first, device, bytes, cudaMemcpyDeviceToHost, static_cast<cudaStream_t>(s.handle())), {.what = "copying from the device", .who = "copy", .bytes = bytes});
}
void copy_in(Stream& s, void* device, const void* host, std::size_t bytes) {
  s.flush();  // a graph would read the host's memory later
  require_device("copy");
  check_call(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, RawStream::of(s)), {.what = "copying to the device", .who = "copy", .bytes = bytes});
}
void copy_out(Stream& s, void* host, const void* device, std::size_t bytes) {
  s.flush();
  require_device("copy");
  check_call(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, RawStream::of(s)), {.what = "copying from the device", .who = "copy", .bytes = bytes});
  s.synchronize();
}
void copy_within(Stream& s, void* to, const void* from, std::size_t bytes) {
  check_call(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, static_cast<cudaStream_t>(s.handle())), {.what = "copying on the device", .who = "copy", .bytes = bytes});
}
void fill(Stream& s, void* device, int byte, std::size_t bytes) {
  check_call(cudaMemsetAsync(device, byte, bytes, static_cast<cudaStream_t>(s.handle())), {.what = "filling memory", .who = "fill", .bytes = bytes});
}

}  // namespace sspo::cuda::inline gpu
