// AdamW: of many parameters at once, or of each as soon as its gradient is complete, in the midst of backward.
#include "adamw.h"
#include "guarded.h"
#include "moments.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <cmath>
#include <mutex>

namespace {

struct Lists {
  std::vector<at::Tensor> p, g, m, v, steps;
};

// One parameter whose moments are bfloat16.
void half_moments(const at::Tensor &p, const at::Tensor &g, const at::Tensor &m, const at::Tensor &v,
                  const at::Tensor &step, const cc_adamw &by, const std::optional<at::Tensor> &inf) {
  if (p.device().is_cpu()) {
    if (inf && inf->item<double>() != 0)
      return;
    TORCH_CHECK(p.is_contiguous() && m.is_contiguous() && v.is_contiguous(), "AdamW: a piece with gaps");
    const auto plain = g.contiguous();
    const double t = step.item<double>();
    half_moments_update(p.mutable_data_ptr<float>(), plain.const_data_ptr<float>(),
                        static_cast<uint16_t *>(m.mutable_data_ptr()), static_cast<uint16_t *>(v.mutable_data_ptr()),
                        p.numel(), 1 - by.lr * by.weight_decay, by.beta1, by.beta2, by.lr / (1 - std::pow(by.beta1, t)),
                        1 / std::sqrt(1 - std::pow(by.beta2, t)), by.eps);
    return;
  }
  // On a GPU nothing may wait for the step count or for inf: they stay there.
  const auto mean = m.to(at::kFloat).lerp_(g, 1 - by.beta1);
  const auto square = v.to(at::kFloat).mul_(by.beta2).addcmul_(g, g, 1 - by.beta2);
  const auto size = by.lr / (1 - at::pow(at::Scalar(by.beta1), step));
  const auto root = (1 - at::pow(at::Scalar(by.beta2), step)).sqrt_();
  auto next = p.mul(1 - by.lr * by.weight_decay).sub_(mean.mul(size).div_(square.sqrt().div_(root).add_(by.eps)));
  const auto put = [&](const at::Tensor &to, const at::Tensor &from) {
    to.copy_(inf ? at::where(inf->eq(0), from, to.to(at::kFloat)) : from);
  };
  put(p, next);
  put(m, mean);
  put(v, square);
}

void update(Lists &lists, const cc_adamw &by, const std::optional<at::Tensor> &inf) {
  c10::NoGradGuard no_grad;
  at::_foreach_add_(lists.steps, 1);
  // Given a non-zero inf the kernel leaves everything alone; the step count must follow it.
  if (inf)
    at::_foreach_sub_(lists.steps, std::vector<at::Tensor>(lists.steps.size(), *inf));
  if (lists.m.front().scalar_type() == at::kBFloat16) {
    for (size_t i = 0; i < lists.p.size(); ++i)
      half_moments(lists.p[i], lists.g[i], lists.m[i], lists.v[i], lists.steps[i], by, inf);
    return;
  }
  at::_fused_adamw_(lists.p, lists.g, lists.m, lists.v, /*max_exp_avg_sqs=*/{}, lists.steps, by.lr, by.beta1, by.beta2,
                    by.weight_decay, by.eps, /*amsgrad=*/false, /*maximize=*/false, /*grad_scale=*/std::nullopt, inf);
}

// Between arm() and finish() every parameter is updated the moment its gradient is complete, and the gradient is freed:
// autograd runs the hook after every node that reads the parameter.
class Early {
  struct Entry {
    at::Tensor p, m, v, step;
    double lr = 0, weight_decay = 0;
    bool done = false;
  };
  struct Hook : public torch::autograd::PostAccumulateGradHook {
    Hook(Early &early, size_t index) : early(early), index(index) {}
    void operator()(const at::Tensor &) override { early.take(index); }
    Early &early;
    size_t index;
  };

public:
  explicit Early(const Lists &lists) {
    for (size_t i = 0; i < lists.p.size(); ++i)
      entries.push_back({lists.p[i], lists.m[i], lists.v[i], lists.steps[i]});
    for (size_t i = 0; i < entries.size(); ++i)
      if (entries[i].p.requires_grad())
        torch::autograd::impl::set_post_acc_grad_hooks(entries[i].p, std::make_unique<Hook>(*this, i));
  }

  ~Early() {
    for (auto &entry : entries)
      if (entry.p.requires_grad())
        torch::autograd::impl::set_post_acc_grad_hooks(entry.p, nullptr);
  }

  void arm(const double *lr, const double *weight_decay, const cc_adamw &common, const at::Tensor &loss) {
    std::lock_guard<std::mutex> hold(mutex);
    for (size_t i = 0; i < entries.size(); ++i) {
      entries[i].lr = lr[i];
      entries[i].weight_decay = weight_decay[i];
      entries[i].done = false;
    }
    by = common;
    this->loss = loss.detach();
    squares = at::zeros({}, this->loss.options().dtype(at::kFloat));
    armed = true;
  }

  // What got its gradient before, in another micro-step, is updated now. The norm of all gradients.
  at::Tensor finish() {
    std::lock_guard<std::mutex> hold(mutex);
    TORCH_CHECK(armed, "AdamW in backward was not armed");
    for (size_t i = 0; i < entries.size(); ++i)
      if (!entries[i].done && entries[i].p.grad().defined())
        apply(entries[i]);
    armed = false;
    loss.reset();
    return squares.sqrt();
  }

private:
  void take(size_t index) {
    std::lock_guard<std::mutex> hold(mutex);
    if (armed)
      apply(entries[index]);
  }

  void apply(Entry &entry) {
    c10::NoGradGuard no_grad;
    auto &gradient = entry.p.mutable_grad();
    const auto norm = at::linalg_vector_norm(gradient);
    squares += norm.square();
    const auto inf = (loss + norm).isfinite().logical_not_().to(at::kFloat);
    Lists one{{entry.p}, {gradient}, {entry.m}, {entry.v}, {entry.step}};
    by.lr = entry.lr;
    by.weight_decay = entry.weight_decay;
    update(one, by, inf);
    entry.done = true;
    gradient.reset();
  }

  std::vector<Entry> entries;
  cc_adamw by{};
  at::Tensor loss, squares;
  std::mutex mutex;
  bool armed = false;
};

} // namespace

char *cc_adamw_step(tensor *parameters, tensor *gradients, tensor *exp_avgs, tensor *exp_avg_sqs, tensor *steps,
                    size_t n, const cc_adamw *by, tensor found_inf) {
  return guarded([&] {
    Lists lists{collect(parameters, n), collect(gradients, n), collect(exp_avgs, n), collect(exp_avg_sqs, n),
                collect(steps, n)};
    update(lists, *by, found_inf ? std::optional<at::Tensor>(*found_inf) : std::nullopt);
  });
}

char *cc_early_new(tensor *parameters, tensor *exp_avgs, tensor *exp_avg_sqs, tensor *steps, size_t n, void **out) {
  return guarded([&] {
    *out = new Early({collect(parameters, n), {}, collect(exp_avgs, n), collect(exp_avg_sqs, n), collect(steps, n)});
  });
}

char *cc_early_arm(void *early, const double *lr, const double *weight_decay, const cc_adamw *by, tensor loss) {
  return guarded([&] { static_cast<Early *>(early)->arm(lr, weight_decay, *by, *loss); });
}

char *cc_early_finish(void *early, tensor *norm) {
  return guarded([&] { *norm = new at::Tensor(static_cast<Early *>(early)->finish()); });
}

void cc_early_free(void *early) { delete static_cast<Early *>(early); }
