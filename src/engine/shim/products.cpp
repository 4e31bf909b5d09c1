// libtorch multiplies float32 matrices by MKL, which on processors that are not Intel's takes its loops for AVX2:
// half of what a core with AVX-512 can do. libtorch also brings oneDNN, which asks the processor what it can; it
// is reached through the operator that torch.compile uses, mkldnn::_linear_pointwise. Gradients are products too,
// so that the linear layer gets an autograd function of its own.
#include "products.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Below so many multiplications the way to oneDNN costs more than it gains.
constexpr int64_t kWorthIt = 1 << 18;

using Pointwise = at::Tensor(const at::Tensor &, const at::Tensor &, const std::optional<at::Tensor> &,
                             std::string_view, c10::List<std::optional<at::Scalar>>,
                             std::optional<std::string_view>);

// None where this libtorch was built without oneDNN.
const std::optional<c10::TypedOperatorHandle<Pointwise>> &pointwise() {
  static const auto found = []() -> std::optional<c10::TypedOperatorHandle<Pointwise>> {
    const auto schema = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (!schema || !schema->hasKernelForDispatchKey(c10::DispatchKey::CPU))
      return std::nullopt;
    return schema->typed<Pointwise>();
  }();
  return found;
}

bool fits(const at::Tensor &x, const at::Tensor &w) {
  return x.device().is_cpu() && w.device().is_cpu() && x.scalar_type() == at::kFloat &&
         w.scalar_type() == at::kFloat && x.dim() >= 1 && w.dim() == 2 && w.size(1) > 0 && x.size(-1) == w.size(1) &&
         x.numel() * w.size(0) >= kWorthIt;
}

} // namespace

at::Tensor cpu_product(const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias) {
  const auto &op = pointwise();
  if (!op || !fits(x, w))
    return at::linear(x, w, bias);
  // It reads memory as it lies: views with other strides than a matrix's or its transpose's are made plain. (Rows of a
  // transposed one would take its reference loops, a thousand times as slow.)
  const bool plain = w.is_contiguous() || w.t().is_contiguous();
  return op->call(x.contiguous(), plain ? w : w.contiguous(), bias, "none", c10::List<std::optional<at::Scalar>>(), "");
}

namespace {

struct Linear : public torch::autograd::Function<Linear> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &x, const at::Tensor &w,
                            const std::optional<at::Tensor> &bias) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({x, w});
    ctx->saved_data["bias"] = bias.has_value();
    return cpu_product(x, w, bias);
  }

  static variable_list backward(AutogradContext *ctx, variable_list incoming) {
    at::AutoDispatchBelowADInplaceOrView below;
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &w = saved[1];
    const auto g = incoming[0].reshape({-1, w.size(0)}).contiguous();
    variable_list out(3);
    if (ctx->needs_input_grad(0))
      out[0] = cpu_product(g, w.t(), std::nullopt).reshape(x.sizes());
    if (ctx->needs_input_grad(1)) {
      const auto rows = x.reshape({-1, w.size(1)});
      // As the weight lies in memory, so that its gradient is taken over, not copied.
      out[1] = w.is_contiguous() ? cpu_product(g.t(), rows.t(), std::nullopt)
                                 : cpu_product(rows.t(), g.t(), std::nullopt).t();
    }
    if (ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2))
      out[2] = g.sum(0);
    return out;
  }
};

} // namespace

at::Tensor cpu_linear(const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias) {
  const bool lower = at::autocast::is_autocast_enabled(at::kCPU);
  if (lower || !fits(x, w) || !pointwise())
    return at::linear(x, w, bias);
  const bool recorded =
      c10::GradMode::is_enabled() && (x.requires_grad() || w.requires_grad() || (bias && bias->requires_grad()));
  return recorded ? Linear::apply(x, w, bias) : cpu_product(x, w, bias);
}
