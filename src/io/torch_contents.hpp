// What a file of torch.save holds, from its bytes: the parser behind TorchFile.
#pragma once
#include "io/zip.hpp"
#include "sspo/io/torch_file.hpp"

namespace sspo::io {

TorchContents parse_torch(const ByteSource& file, const Place& place);

}  // namespace sspo::io
