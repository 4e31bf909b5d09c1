// Halves of a transformer block for training on the CPU: layer norm and what reads it as one autograd node each. What
// lies inside (normalised rows, the MLP's hidden rows) is several times what goes in, and cheap to compute once more:
// backward does, and nothing of it is kept. Values and gradients are those of the plain operators.
#include "guarded.h"
#include "products.h"

#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double kEps = 1e-5;

struct Normal {
  at::Tensor rows, mean, scale;
};

Normal normalise(const at::Tensor &x, const at::Tensor &gain, const at::Tensor &shift) {
  auto [rows, mean, scale] = at::native_layer_norm(x, gain.sizes(), gain, shift, kEps);
  return {rows, mean, scale};
}

// Gradients to x, gain and shift, those that are asked for.
std::array<at::Tensor, 3> through(const at::Tensor &g, const at::Tensor &x, const Normal &normal, const at::Tensor &gain,
                                  const at::Tensor &shift, std::array<bool, 3> wanted) {
  auto [dx, d_gain, d_shift] = at::native_layer_norm_backward(g.reshape(x.sizes()), x, gain.sizes(), normal.mean,
                                                              normal.scale, gain, shift, wanted);
  return {dx, d_gain, d_shift};
}

at::Tensor flat(const at::Tensor &t, int64_t width) { return t.reshape({-1, width}).contiguous(); }

at::Tensor weight_gradient(const at::Tensor &g, const at::Tensor &rows) {
  return cpu_product(g.t(), rows.t(), std::nullopt);
}

// W ln(x) + b
struct NormLinear : public torch::autograd::Function<NormLinear> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &x, const at::Tensor &gain, const at::Tensor &shift,
                            const at::Tensor &w, const at::Tensor &b) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({x, gain, shift, w});
    return cpu_product(normalise(x, gain, shift).rows, w, b);
  }

  static variable_list backward(AutogradContext *ctx, variable_list incoming) {
    at::AutoDispatchBelowADInplaceOrView below;
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &gain = saved[1], &shift = saved[2], &w = saved[3];
    const auto wants = [&](int i) { return ctx->needs_input_grad(i); };
    const auto g = flat(incoming[0], w.size(0));
    variable_list out(5);
    if (wants(4))
      out[4] = g.sum(0);
    const auto normal = normalise(x, gain, shift);
    if (wants(3))
      out[3] = weight_gradient(g, flat(normal.rows, w.size(1)));
    if (wants(0) || wants(1) || wants(2)) {
      auto norm = through(cpu_product(g, w.t(), std::nullopt), x, normal, gain, shift, {wants(0), wants(1), wants(2)});
      std::move(norm.begin(), norm.end(), out.begin());
    }
    return out;
  }
};

// x + P gelu(F ln(x) + f) + p
struct NormMlp : public torch::autograd::Function<NormMlp> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &x, const at::Tensor &gain, const at::Tensor &shift,
                            const at::Tensor &fc, const at::Tensor &fc_b, const at::Tensor &proj,
                            const at::Tensor &proj_b) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({x, gain, shift, fc, fc_b, proj});
    auto hidden = cpu_product(normalise(x, gain, shift).rows, fc, fc_b);
    auto y = cpu_product(at::gelu(hidden), proj, proj_b);
    return y.add_(x);
  }

  static variable_list backward(AutogradContext *ctx, variable_list incoming) {
    at::AutoDispatchBelowADInplaceOrView below;
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &gain = saved[1], &shift = saved[2], &fc = saved[3], &fc_b = saved[4], &proj = saved[5];
    const auto wants = [&](int i) { return ctx->needs_input_grad(i); };
    const auto g = flat(incoming[0], proj.size(0));
    variable_list out(7);
    if (wants(6))
      out[6] = g.sum(0);
    const auto normal = normalise(x, gain, shift);
    const auto rows = flat(normal.rows, fc.size(1));
    auto hidden = cpu_product(rows, fc, fc_b);
    if (wants(5))
      out[5] = weight_gradient(g, at::gelu(hidden));
    hidden = at::gelu_backward(cpu_product(g, proj.t(), std::nullopt), hidden);
    if (wants(4))
      out[4] = hidden.sum(0);
    if (wants(3))
      out[3] = weight_gradient(hidden, rows);
    if (wants(0) || wants(1) || wants(2)) {
      auto norm = through(cpu_product(hidden, fc.t(), std::nullopt), x, normal, gain, shift, {wants(0), wants(1), wants(2)});
      if (wants(0))
        norm[0].add_(g.view(x.sizes()));
      std::move(norm.begin(), norm.end(), out.begin());
    }
    return out;
  }
};

// Whether a node of these gains anything: something is recorded, in float32 on the CPU, with plain weights.
bool fits(tensor *t, size_t n, std::initializer_list<size_t> weights) {
  bool wanted = false;
  for (size_t i = 0; i < n; ++i) {
    if (!t[i]->device().is_cpu() || t[i]->scalar_type() != at::kFloat)
      return false;
    wanted |= t[i]->requires_grad();
  }
  for (const size_t i : weights)
    if (t[i]->dim() != 2 || !t[i]->is_contiguous())
      return false;
  return wanted && c10::GradMode::is_enabled() && !at::autocast::is_autocast_enabled(at::kCPU) && t[0]->dim() >= 2 &&
         t[0]->size(-1) == t[1]->numel() && t[1]->numel() == t[*weights.begin()]->size(1);
}

} // namespace

char *cc_norm_linear(tensor *t, tensor *out) {
  return guarded([&] {
    *out = fits(t, 5, {3}) ? new at::Tensor(NormLinear::apply(*t[0], *t[1], *t[2], *t[3], *t[4])) : nullptr;
  });
}

char *cc_norm_mlp(tensor *t, tensor *out) {
  return guarded([&] {
    *out = fits(t, 7, {3, 5})
               ? new at::Tensor(NormMlp::apply(*t[0], *t[1], *t[2], *t[3], *t[4], *t[5], *t[6]))
               : nullptr;
  });
}
