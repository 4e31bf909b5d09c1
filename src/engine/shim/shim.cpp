#include "guarded.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/custom_function.h>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A value whose gradients are known already. The graph node keeps them until backward, then hands them
// over times the incoming gradient; backward works once.
struct WithGradients : public torch::autograd::Function<WithGradients> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &value, at::TensorList inputs,
                            const variable_list &gradients) {
    (void)inputs; // only their place in the graph counts
    // Not save_for_backward: the buffers must be ours alone for the gradient to be moved, not copied.
    ctx->saved_data["gradients"] = gradients;
    return value.clone();
  }

  static variable_list backward(AutogradContext *ctx, variable_list incoming) {
    auto found = ctx->saved_data.find("gradients");
    TORCH_CHECK(found != ctx->saved_data.end(), "with_gradients: backward ran twice");
    auto gradients = found->second.toTensorVector();
    ctx->saved_data.erase(found);
    const auto &g = incoming[0];
    // On CPU reading the factor is free, and a pass over a vocabulary-sized gradient is not.
    const bool is_one = g.device().is_cpu() && g.item<double>() == 1.0;
    variable_list out;
    out.reserve(gradients.size() + 2);
    out.emplace_back(); // value
    for (auto &gradient : gradients)
      out.push_back(is_one ? std::move(gradient) : gradient.mul_(g.to(gradient.scalar_type())));
    out.emplace_back(); // the gradients themselves
    return out;
  }
};

struct Fetch {
  at::Tensor here;
  std::optional<c10::Event> event;
};

at::DeviceType device_type(int cuda) { return cuda ? at::kCUDA : at::kCPU; }

} // namespace

void cc_free_message(char *message) { free(message); }

char *cc_gradients(tensor *parameters, size_t n, tensor *out) {
  return guarded([&] {
    for (size_t i = 0; i < n; ++i) {
      const auto &grad = parameters[i]->grad();
      out[i] = grad.defined() ? new at::Tensor(grad) : nullptr;
    }
  });
}

char *cc_clear_gradients(tensor *parameters, size_t n) {
  return guarded([&] {
    for (size_t i = 0; i < n; ++i)
      parameters[i]->mutable_grad().reset();
  });
}

char *cc_with_gradients(tensor value, tensor *inputs, tensor *gradients, size_t n, tensor *out) {
  return guarded([&] {
    // A TensorList is looked into for the graph's inputs; a vector, the gradients, is not.
    const auto list = collect(inputs, n);
    *out = new at::Tensor(WithGradients::apply(*value, at::TensorList(list), collect(gradients, n)));
  });
}

char *cc_fetch_begin(tensor t, void **out) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    auto fetch = std::make_unique<Fetch>();
    if (t->device().is_cpu()) {
      fetch->here = t->detach();
    } else {
      // Pinned memory, or the copy would wait for all that the device has to do.
      fetch->here = t->detach().to(at::kCPU, t->scalar_type(), /*non_blocking=*/true);
      fetch->event.emplace(t->device().type());
      fetch->event->record(c10::impl::VirtualGuardImpl(t->device().type()).getStream(t->device()));
    }
    *out = fetch.release();
  });
}

char *cc_fetch_end(void *fetch, tensor *out) {
  return guarded([&] {
    auto &it = *static_cast<Fetch *>(fetch);
    if (it.event)
      it.event->synchronize();
    *out = new at::Tensor(it.here);
  });
}

void cc_fetch_free(void *fetch) { delete static_cast<Fetch *>(fetch); }

char *cc_gradient_norm(tensor *gradients, size_t n, tensor *out) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    TORCH_CHECK(n > 0, "gradient norm: no parameter has a gradient");
    auto norms = at::_foreach_norm(collect(gradients, n), 2.0);
    for (auto &norm : norms)
      norm = norm.to(at::kFloat);
    *out = new at::Tensor(at::linalg_vector_norm(at::stack(norms), 2.0));
  });
}

char *cc_clip_gradients(tensor *gradients, size_t n, tensor total_norm, double max_norm) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    // As torch.nn.utils.clip_grad_norm_: the factor stays on the device, nothing is waited for.
    auto factor = at::clamp((*total_norm + 1e-6).reciprocal() * max_norm, c10::nullopt, 1.0);
    // On CPU it is at hand, and a factor of one saves a pass over every gradient.
    if (factor.device().is_cpu() && factor.item<double>() == 1.0)
      return;
    auto list = collect(gradients, n);
    at::_foreach_mul_(list, factor);
  });
}

char *cc_fill_normal(tensor t, double mean, double std, uint64_t seed) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    t->normal_(mean, std, at::make_generator<at::CPUGeneratorImpl>(seed));
  });
}

char *cc_fill_uniform(tensor t, double low, double high, uint64_t seed) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    t->uniform_(low, high, at::make_generator<at::CPUGeneratorImpl>(seed));
  });
}

char *cc_multinomial(tensor probabilities, void *generator, tensor *out) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    *out = new at::Tensor(at::multinomial(*probabilities, 1, false, *static_cast<at::Generator *>(generator)));
  });
}

char *cc_generator_new(uint64_t seed, void **out) {
  return guarded([&] { *out = new at::Generator(at::make_generator<at::CPUGeneratorImpl>(seed)); });
}

void cc_generator_free(void *generator) { delete static_cast<at::Generator *>(generator); }

char *cc_autocast_enter(int cuda, int dtype, int *was_enabled, int *was_dtype) {
  return guarded([&] {
    const auto device = device_type(cuda);
    *was_enabled = at::autocast::is_autocast_enabled(device);
    *was_dtype = static_cast<int>(at::autocast::get_autocast_dtype(device));
    at::autocast::increment_nesting();
    at::autocast::set_autocast_enabled(device, true);
    at::autocast::set_autocast_dtype(device, static_cast<at::ScalarType>(dtype));
  });
}

char *cc_autocast_exit(int cuda, int was_enabled, int was_dtype) {
  return guarded([&] {
    const auto device = device_type(cuda);
    if (at::autocast::decrement_nesting() == 0)
      at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device, was_enabled != 0);
    at::autocast::set_autocast_dtype(device, static_cast<at::ScalarType>(was_dtype));
  });
}

char *cc_cuda_device_count(int *out) {
  return guarded([&] { *out = at::hasCUDA() ? static_cast<int>(at::detail::getCUDAHooks().deviceCount()) : 0; });
}

char *cc_cuda_memory(int device, int64_t out[3]) {
  return guarded([&] {
    auto *allocator = c10::getDeviceAllocator(at::kCUDA);
    out[0] = out[1] = out[2] = 0;
    if (!allocator->initialized())
      return; // nothing was ever allocated
    const auto stats = allocator->getDeviceStats(static_cast<c10::DeviceIndex>(device));
    constexpr auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    out[0] = stats.allocated_bytes[all].current;
    out[1] = stats.reserved_bytes[all].current;
    out[2] = stats.allocated_bytes[all].peak;
  });
}

char *cc_cuda_reset_peak(int device) {
  return guarded([&] {
    auto *allocator = c10::getDeviceAllocator(at::kCUDA);
    if (allocator->initialized())
      allocator->resetPeakStats(static_cast<c10::DeviceIndex>(device));
  });
}
