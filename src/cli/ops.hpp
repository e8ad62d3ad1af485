// `sspo ops`: the table of all ops, made from for_each_op.
#pragma once

namespace sspo::cli {

void list_ops(bool json);

}  // namespace sspo::cli
