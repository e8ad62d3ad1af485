// A float does not lose 16 bits of its fraction without being asked to.
// expect: bf16
#include <sspo/base/half.hpp>

#if defined(MISTAKE)
sspo::bf16 x = 1.5f;
#else
sspo::bf16 x{1.5f};
#endif
