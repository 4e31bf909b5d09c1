#include "segment.h"
#include "shards.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The computation, with what it needs from outside.
struct Body : public torch::CustomClassHolder {
  cc_compute compute;
  void (*drop)(void *);
  void *closure;
  c10::intrusive_ptr<Shards> shards;
  size_t unit = 0;
  bool again = false;

  ~Body() override { drop(closure); }

  at::Tensor operator()(variable_list &inputs) const {
    std::vector<tensor> raw;
    for (auto &input : inputs)
      raw.push_back(&input);
    tensor out = nullptr;
    if (char *message = compute(closure, raw.data(), raw.size(), &out)) {
      const std::string text(message);
      free(message);
      TORCH_CHECK(false, text);
    }
    at::Tensor result = *out;
    delete out;
    return result;
  }
};

// The unit's parameters are whole while it lives.
class Gathered {
public:
  explicit Gathered(const Body &body) : body(body) {
    if (body.shards)
      body.shards->gather(body.unit);
  }
  ~Gathered() {
    if (body.shards)
      body.shards->release(body.unit);
  }

private:
  const Body &body;
};

at::Generator generator_of(const at::Device &device) { return at::globalContext().defaultGenerator(device); }

// What decides how the same operations compute: mixed precision, and where the random numbers stand.
struct Surroundings {
  at::Device device;
  bool enabled;
  at::ScalarType dtype;
  at::Tensor random;

  Surroundings(const at::Device &device, bool with_random)
      : device(device), enabled(at::autocast::is_autocast_enabled(device.type())),
        dtype(at::autocast::get_autocast_dtype(device.type())) {
    if (with_random)
      random = generator_of(device).get_state();
  }
};

// Autocast keeps no lower-precision copies of weights meanwhile: they would outlive the gathered ones.
class NoCache {
public:
  NoCache() : was(at::autocast::is_autocast_cache_enabled()) { at::autocast::set_autocast_cache_enabled(false); }
  ~NoCache() { at::autocast::set_autocast_cache_enabled(was); }

private:
  bool was;
};

// Makes the surroundings of then those of now, for as long as it lives.
class Again {
public:
  explicit Again(const Surroundings &then) : now(then.device, then.random.defined()) {
    set(then);
  }
  ~Again() { set(now); }

private:
  static void set(const Surroundings &to) {
    at::autocast::set_autocast_enabled(to.device.type(), to.enabled);
    at::autocast::set_autocast_dtype(to.device.type(), to.dtype);
    if (to.random.defined())
      generator_of(to.device).set_state(to.random);
  }
  Surroundings now;
};

// What backward needs of forward.
struct Kept : public torch::CustomClassHolder {
  c10::intrusive_ptr<Body> body;
  variable_list leaves;
  at::Tensor output; // with its graph; undefined where it is computed again
  std::optional<Surroundings> surroundings;
};

struct Segment : public torch::autograd::Function<Segment> {
  static at::Tensor forward(AutogradContext *ctx, at::TensorList inputs, const c10::intrusive_ptr<Body> &body) {
    auto kept = c10::make_intrusive<Kept>();
    kept->body = body;
    for (const auto &input : inputs) {
      auto leaf = input.variable_data();
      leaf.set_requires_grad(input.requires_grad());
      kept->leaves.push_back(leaf);
    }
    kept->surroundings.emplace(inputs.front().device(), body->again);
    NoCache no_cache;
    Gathered gathered(*body);
    at::AutoGradMode mode(!body->again);
    auto output = (*body)(kept->leaves);
    if (!body->again)
      kept->output = output;
    ctx->saved_data["kept"] = c10::IValue::make_capsule(kept);
    return output.variable_data();
  }

  static variable_list backward(AutogradContext *ctx, variable_list incoming) {
    auto found = ctx->saved_data.find("kept");
    TORCH_CHECK(found != ctx->saved_data.end(), "a segment's backward ran twice");
    auto kept = c10::static_intrusive_pointer_cast<Kept>(found->second.toCapsule());
    ctx->saved_data.erase(found);
    const auto &body = *kept->body;
    NoCache no_cache;
    {
      Gathered gathered(body);
      auto output = std::move(kept->output);
      if (body.again) {
        Again again(*kept->surroundings);
        at::AutoGradMode mode(true);
        output = body(kept->leaves);
      }
      if (output.requires_grad())
        torch::autograd::backward({output}, {incoming[0]});
    }
    if (body.shards)
      body.shards->reduce(body.unit);
    variable_list out;
    for (auto &leaf : kept->leaves) {
      out.push_back(leaf.mutable_grad());
      leaf.mutable_grad().reset();
    }
    out.emplace_back(); // the body
    return out;
  }
};

} // namespace

char *cc_message(const char *text) { return strdup(text); }

char *cc_segment(tensor *inputs, size_t n, cc_compute compute, void (*drop)(void *), void *closure, void *shards,
                 size_t unit, int again, tensor *out) {
  auto body = c10::make_intrusive<Body>();
  body->compute = compute;
  body->drop = drop;
  body->closure = closure;
  return guarded([&] {
    TORCH_CHECK(n > 0, "a segment without input");
    if (shards)
      body->shards = *static_cast<c10::intrusive_ptr<Shards> *>(shards);
    body->unit = unit;
    body->again = again != 0;
    auto list = collect(inputs, n);
    if (!at::GradMode::is_enabled()) {
      NoCache no_cache;
      Gathered gathered(*body);
      *out = new at::Tensor((*body)(list));
      return;
    }
    const bool wanted = std::any_of(list.begin(), list.end(), [](const auto &t) { return t.requires_grad(); });
    if (!wanted) {
      // The node must be in the graph for its parameters' sake.
      list.front() = list.front().variable_data();
      list.front().set_requires_grad(true);
    }
    *out = new at::Tensor(Segment::apply(at::TensorList(list), body));
  });
}
