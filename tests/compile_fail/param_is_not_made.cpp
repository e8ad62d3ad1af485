// Parameters come from Params alone: every one has a name and an owner.
// expect: (deleted|no matching|private|default constructor)
#include <sspo/nn/params.hpp>

void f(sspo::Params& params) {
#if defined(MISTAKE)
  sspo::Param p;
#else
  sspo::Param p = params["w"];
#endif
  (void)p;
}
