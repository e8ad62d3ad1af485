#include "cpu/context.hpp"

#include "sspo/tensor/arena.hpp"

namespace sspo::cpu {

Workspace::Workspace(const Context& ctx, std::size_t bytes)
    : arena_(ctx.arena), data_(bytes ? ctx.arena->allocate(bytes, "workspace") : nullptr) {}

Workspace::~Workspace() { arena_->release(data_); }

}  // namespace sspo::cpu
