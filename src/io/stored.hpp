// The bytes of a stored tensor, wherever a file of either kind holds them.
#pragma once
#include "sspo/io/safetensors.hpp"

namespace sspo::io {

// Row-major bytes go straight to the tensor; a view's are gathered from the range it touches. Error{file} as Safetensors::load.
Tensor load_stored(const File& file, const StoredTensor& t, const Device& device);

}  // namespace sspo::io
