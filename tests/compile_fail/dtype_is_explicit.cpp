// A host vector's element type is the tensor's dtype: a mixture is not guessed.
// expect: (no matching function|cannot convert)
#include <sspo/tensor/tensor.hpp>

const std::vector<float> values = {1, 2};
#if defined(MISTAKE)
sspo::Tensor x = sspo::Tensor::from<double>(values, {2});
#else
sspo::Tensor x = sspo::Tensor::from<float>(values, {2});
#endif
