#include "shards.h"

#include <algorithm>

namespace {

// Gives `to` the memory of `from`, which is left without; sizes and views of `to` stay what they are, so that whatever
// autograd saved of the parameters finds them again.
void move_memory(const at::Tensor &from, const at::Tensor &to) {
  auto *source = from.storage().unsafeGetStorageImpl();
  auto *target = to.storage().unsafeGetStorageImpl();
  const auto bytes = source->nbytes();
  target->set_data_ptr_noswap(source->set_data_ptr(at::DataPtr(nullptr, source->device())));
  target->set_nbytes(bytes);
  source->set_nbytes(0);
}

void free_memory(const at::Tensor &of) {
  auto *storage = of.storage().unsafeGetStorageImpl();
  storage->set_data_ptr_noswap(at::DataPtr(nullptr, storage->device()));
  storage->set_nbytes(0);
}

} // namespace

std::vector<at::Tensor> Shards::add(std::vector<at::Tensor> parameters) {
  at::NoGradGuard no_grad;
  TORCH_CHECK(!parameters.empty(), "a unit without parameters");
  int64_t total = 0;
  for (const auto &p : parameters) {
    TORCH_CHECK(p.scalar_type() == at::kFloat, "parameters are sharded in float32");
    total += p.numel();
  }
  const int64_t size = group->getSize();
  const auto chunk = (total + size - 1) / size;
  Unit unit;
  const auto options = parameters.front().options().requires_grad(false);
  unit.flat = at::zeros({chunk * size}, options);
  int64_t at = 0;
  for (const auto &p : parameters) {
    auto part = unit.flat.narrow(0, at, p.numel()).view(p.sizes());
    part.copy_(p);
    // Leaves of their own: an update of one is none of the others.
    auto leaf = part.variable_data();
    leaf.set_requires_grad(p.requires_grad());
    unit.parameters.push_back(leaf);
    at += p.numel();
  }
  unit.touched.assign(parameters.size(), false);
  unit.shard = unit.flat.narrow(0, chunk * group->getRank(), chunk);
  if (frees) {
    unit.shard = unit.shard.clone();
    free_memory(unit.flat);
  }
  units.push_back(std::move(unit));
  return units.back().parameters;
}

void Shards::gather(size_t index) {
  auto &unit = units.at(index);
  if (!frees || unit.held++ > 0)
    return;
  at::NoGradGuard no_grad;
  try {
    move_memory(fetch(index), unit.flat);
    if (in_step) {
      order.push_back(index);
      fetch_next();
    }
  } catch (...) {
    unit.held--;
    throw;
  }
}

// The whole of a unit, which may be on its way already.
at::Tensor Shards::fetch(size_t index) {
  if (ahead && ahead->unit == index) {
    auto coming = std::move(*ahead);
    ahead.reset();
    wait_for(coming.work);
    came_ahead++;
    return coming.whole;
  }
  forget_ahead();
  auto &unit = units.at(index);
  auto whole = at::empty(unit.flat.sizes(), unit.shard.options());
  wait_for(group->_allgather_base(whole, unit.shard));
  return whole;
}

// What came next in the step before will come next now: it is sent for while this unit computes.
void Shards::fetch_next() {
  if (order.size() >= before.size() || !std::equal(order.begin(), order.end(), before.begin()))
    return;
  const auto next = before[order.size()];
  auto &unit = units.at(next);
  if (unit.held > 0)
    return;
  auto whole = at::empty(unit.flat.sizes(), unit.shard.options());
  auto work = group->_allgather_base(whole, unit.shard);
  ahead = Ahead{next, whole, work};
}

void Shards::forget_ahead() {
  if (!ahead)
    return;
  auto coming = std::move(*ahead);
  ahead.reset();
  wait_for(coming.work); // its memory is written until then
}

void Shards::release(size_t index) {
  auto &unit = units.at(index);
  if (!frees || unit.held == 0 || --unit.held > 0)
    return;
  free_memory(unit.flat);
}

void Shards::reduce(size_t index) {
  at::NoGradGuard no_grad;
  auto &unit = units.at(index);
  land();
  const int64_t size = group->getSize();
  auto whole = at::empty(unit.flat.sizes(), unit.shard.options());
  int64_t at = 0;
  for (size_t p = 0; p < unit.parameters.size(); ++p) {
    const auto numel = unit.parameters[p].numel();
    auto part = whole.narrow(0, at, numel);
    auto &gradient = unit.parameters[p].mutable_grad();
    if (gradient.defined()) {
      part.copy_(gradient.reshape({numel}));
      gradient.reset();
      unit.touched[p] = true;
    } else {
      part.zero_();
    }
    at += numel;
  }
  whole.narrow(0, at, whole.numel() - at).zero_();
  whole = whole.view({size, -1});
  auto received = at::empty_like(whole);
  // Every rank gets the others' versions of its own part and adds them up: half the bytes of Gloo's reduce-scatter,
  // which is an all-reduce inside.
  std::vector<int64_t> even_out, even_in;
  auto work = group->alltoall_base(received, whole, even_out, even_in);
  flight = Flight{index, whole, received, work};
}

// Waits for the sum under way and adds it to its unit's gradient.
void Shards::land() {
  if (!flight)
    return;
  auto landing = std::move(*flight);
  flight.reset();
  wait_for(landing.work);
  auto sum = landing.received.sum(0);
  if (copies) {
    std::vector<at::Tensor> list{sum};
    wait_for(copies->allreduce(list));
  }
  auto &gradient = units.at(landing.unit).gradient;
  if (gradient.defined())
    gradient.add_(sum);
  else
    gradient = sum;
}

std::vector<float> Shards::finish() {
  at::NoGradGuard no_grad;
  land();
  forget_ahead();
  in_step = false;
  std::vector<float> out;
  for (const auto &unit : units)
    for (const bool touched : unit.touched)
      out.push_back(touched ? 1.0f : 0.0f);
  return out;
}

void Shards::clear() {
  forget_ahead();
  before = std::move(order);
  order.clear();
  in_step = true;
  for (auto &unit : units) {
    unit.gradient.reset();
    unit.touched.assign(unit.touched.size(), false);
    for (auto &p : unit.parameters)
      p.mutable_grad().reset();
  }
}

void Shards::publish() {
  if (frees)
    return;
  at::NoGradGuard no_grad;
  for (auto &unit : units) {
    // In and out must not overlap.
    auto own = unit.shard.clone();
    wait_for(group->_allgather_base(unit.flat, own));
  }
}

std::pair<uint64_t, uint64_t> Shards::bytes() const {
  uint64_t parameters = 0, gradients = 0;
  for (const auto &unit : units) {
    parameters += unit.flat.storage().nbytes();
    if (frees)
      parameters += unit.shard.storage().nbytes();
    if (unit.gradient.defined())
      gradients += unit.gradient.storage().nbytes();
    for (const auto &p : unit.parameters)
      if (p.grad().defined())
        gradients += p.grad().numel() * p.grad().element_size();
  }
  return {parameters, gradients};
}

namespace {

using Handle = c10::intrusive_ptr<Shards>;

Shards &shards_of(void *shards) { return **static_cast<Handle *>(shards); }

} // namespace

char *cc_shards_new(void *group, void *copies, int frees, void **out) {
  return guarded([&] {
    auto other = copies ? group_of(copies) : Backend();
    *out = new Handle(c10::make_intrusive<Shards>(group_of(group), other, frees != 0));
  });
}

void *cc_shards_share(void *shards) { return new Handle(*static_cast<Handle *>(shards)); }

void cc_shards_free(void *shards) { delete static_cast<Handle *>(shards); }

char *cc_shards_add(void *shards, tensor *parameters, size_t n, tensor *out) {
  return guarded([&] {
    auto leaves = shards_of(shards).add(collect(parameters, n));
    for (size_t i = 0; i < n; ++i)
      out[i] = new at::Tensor(leaves[i]);
  });
}

char *cc_shards_shard(void *shards, size_t unit, tensor *out) {
  return guarded([&] { *out = new at::Tensor(shards_of(shards).shard(unit)); });
}

char *cc_shards_gradient(void *shards, size_t unit, tensor *out) {
  return guarded([&] {
    auto gradient = shards_of(shards).gradient(unit);
    *out = gradient.defined() ? new at::Tensor(gradient) : nullptr;
  });
}

char *cc_shards_gather(void *shards, size_t unit) {
  return guarded([&] { shards_of(shards).gather(unit); });
}

char *cc_shards_release(void *shards, size_t unit) {
  return guarded([&] { shards_of(shards).release(unit); });
}

char *cc_shards_reduce(void *shards, size_t unit) {
  return guarded([&] { shards_of(shards).reduce(unit); });
}

char *cc_shards_finish(void *shards, float *touched, size_t n) {
  return guarded([&] {
    const auto found = shards_of(shards).finish();
    TORCH_CHECK(found.size() == n, "there are ", found.size(), " sharded parameters, not ", n);
    std::copy(found.begin(), found.end(), touched);
  });
}

char *cc_shards_clear(void *shards) {
  return guarded([&] { shards_of(shards).clear(); });
}

char *cc_shards_publish(void *shards) {
  return guarded([&] { shards_of(shards).publish(); });
}

uint64_t cc_shards_coming(void *shards) { return shards_of(shards).coming_bytes(); }

uint64_t cc_shards_ahead(void *shards) { return shards_of(shards).ahead_count(); }

char *cc_shards_bytes(void *shards, uint64_t out[2]) {
  return guarded([&] {
    auto [parameters, gradients] = shards_of(shards).bytes();
    out[0] = parameters;
    out[1] = gradients;
  });
}
