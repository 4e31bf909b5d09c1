// The one part of the shim that needs libtorch_cuda and NCCL: a library of its own, loaded only where they are.
#include "../group.h"

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

extern "C" char *ccn_group_new(void *store, const char *prefix, int device, int rank, int size, int64_t timeout_ms,
                               void **out) {
  return guarded([&] {
    using Store = c10::intrusive_ptr<c10d::Store>;
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = std::chrono::milliseconds(timeout_ms);
    auto named = c10::make_intrusive<c10d::PrefixStore>(prefix, *static_cast<Store *>(store));
    auto group = c10::make_intrusive<c10d::ProcessGroupNCCL>(named, rank, size, options);
    // All ranks make the communicator now, in the same order, and an error comes here and not in the first step.
    group->setBoundDeviceId(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device)));
    group->eagerConnectSingleDevice(*group->getBoundDeviceId());
    *out = new Backend(std::move(group));
  });
}
