// What the weak-symbol gate must find: an inline function outside the instruction set's namespace.
namespace sspo::cpu {
template <class T>
__attribute__((noinline)) T twice(T x) { return x + x; }
namespace avx2 {
float planted(float x) { return twice(x); }
}  // namespace avx2
}  // namespace sspo::cpu
