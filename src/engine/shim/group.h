// The kinds that the parts of the shim which talk to other ranks share.
#pragma once

#include "guarded.h"

#include <torch/csrc/distributed/c10d/Backend.hpp>

using Backend = c10::intrusive_ptr<c10d::Backend>;

inline Backend &group_of(void *group) { return *static_cast<Backend *>(group); }

// Waits for a call to end, and counts the time in which this process waited for other ranks.
void wait_for(const c10::intrusive_ptr<c10d::Work> &work);
