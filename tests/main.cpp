// The main function of every test program: see --help.  Useful: --test-case='gemm*', --order-by=rand.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
