#include "c10d.h"
#include "group.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>

namespace {

std::atomic<int64_t> waited{0};

// c10d's flight recorder, on by default, adds to a map of all groups of the process without a lock: two groups that make
// their first calls at once end the process by a fault (seen in libtorch 2.11). It reads its size at the first call of all.
void no_flight_recorder() {
  static std::once_flag once;
  std::call_once(once, [] { setenv("TORCH_FR_BUFFER_SIZE", "0", 1); });
}

} // namespace

void wait_for(const c10::intrusive_ptr<c10d::Work> &work) {
  const auto begin = std::chrono::steady_clock::now();
  struct Count {
    std::chrono::steady_clock::time_point begin;
    ~Count() {
      const auto time = std::chrono::steady_clock::now() - begin;
      waited += std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
    }
  } count{begin};
  work->wait();
}

int64_t cc_waited_ns() { return waited.load(); }

namespace {

using Store = c10::intrusive_ptr<c10d::Store>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct AllGather : public torch::autograd::Function<AllGather> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &in, const Backend &group) {
    // The graph keeps the group alive as long as backward may need it.
    ctx->saved_data["group"] = c10::IValue::make_capsule(group);
    auto sizes = in.sizes().vec();
    sizes.at(0) *= group->getSize();
    auto own = in.contiguous();
    auto out = at::empty(sizes, in.options());
    wait_for(group->_allgather_base(out, own));
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list incoming) {
    auto group = c10::static_intrusive_pointer_cast<c10d::Backend>(ctx->saved_data["group"].toCapsule());
    auto gradient = incoming[0].contiguous();
    auto sizes = gradient.sizes().vec();
    sizes.at(0) /= group->getSize();
    auto own = at::empty(sizes, gradient.options());
    wait_for(group->_reduce_scatter_base(own, gradient));
    return {own, at::Tensor()};
  }
};

at::Tensor summed(const at::Tensor &t, const Backend &group) {
  auto sum = t.contiguous().clone();
  std::vector<at::Tensor> list{sum};
  wait_for(group->allreduce(list));
  return sum;
}

// Where every rank reads the same tensor with its own part of a matrix: the gradient is the sum of all parts'.
struct SumGradient : public torch::autograd::Function<SumGradient> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &in, const Backend &group) {
    ctx->saved_data["group"] = c10::IValue::make_capsule(group);
    return in.view_as(in);
  }

  static variable_list backward(AutogradContext *ctx, variable_list incoming) {
    auto group = c10::static_intrusive_pointer_cast<c10d::Backend>(ctx->saved_data["group"].toCapsule());
    return {summed(incoming[0], group), at::Tensor()};
  }
};

// Where every rank has a part of a sum: all get the sum, whose gradient is every part's.
struct Sum : public torch::autograd::Function<Sum> {
  static at::Tensor forward(AutogradContext *, const at::Tensor &in, const Backend &group) {
    return summed(in, group);
  }

  static variable_list backward(AutogradContext *, variable_list incoming) { return {incoming[0], at::Tensor()}; }
};

// Buckets follow the reverse order of the parameters, which is about the order in which backward reaches them, and are
// sent in their own order: every rank then makes the same calls, whatever its graph looks like.
class Reducer {
  struct Piece {
    at::Tensor parameter;
    int64_t offset;
    bool filled;
  };
  struct Bucket {
    at::Tensor flat;
    std::vector<Piece> pieces;
    size_t missing;
    c10::intrusive_ptr<c10d::Work> work;
  };
  struct Hook : public torch::autograd::PostAccumulateGradHook {
    Hook(Reducer &reducer, size_t bucket, size_t piece) : reducer(reducer), bucket(bucket), piece(piece) {}
    void operator()(const at::Tensor &) override { reducer.take(bucket, piece); }
    Reducer &reducer;
    size_t bucket, piece;
  };

public:
  Reducer(Backend group, Backend host, std::vector<at::Tensor> parameters, int64_t bucket_bytes)
      : group(std::move(group)), host(std::move(host)) {
    int64_t bytes = bucket_bytes;
    for (auto it = parameters.rbegin(); it != parameters.rend(); ++it) {
      TORCH_CHECK(it->scalar_type() == at::kFloat, "gradients are reduced in float32");
      if (bytes >= bucket_bytes) {
        buckets.emplace_back();
        bytes = 0;
      }
      auto &pieces = buckets.back().pieces;
      pieces.push_back({*it, bytes / 4, false});
      bytes += it->numel() * 4;
    }
    for (size_t b = 0; b < buckets.size(); ++b) {
      auto &pieces = buckets[b].pieces;
      const auto numel = pieces.back().offset + pieces.back().parameter.numel();
      buckets[b].flat = at::zeros({numel}, pieces.back().parameter.options().requires_grad(false));
      for (size_t p = 0; p < pieces.size(); ++p)
        torch::autograd::impl::set_post_acc_grad_hooks(pieces[p].parameter, std::make_unique<Hook>(*this, b, p));
    }
  }

  ~Reducer() {
    for (auto &bucket : buckets) {
      for (auto &piece : bucket.pieces)
        torch::autograd::impl::set_post_acc_grad_hooks(piece.parameter, nullptr);
      try {
        if (bucket.work)
          bucket.work->wait();
      } catch (const std::exception &) {
        // The group failed, which somebody was told already; only the buffer had to outlive the call.
      }
    }
  }

  // The next backward is the last one of the step: its gradients are complete.
  void arm() {
    std::lock_guard<std::mutex> lock(mutex);
    for (auto &bucket : buckets) {
      bucket.work.reset();
      bucket.missing = bucket.pieces.size();
      for (auto &piece : bucket.pieces)
        piece.filled = false;
    }
    next = 0;
    armed = true;
  }

  // Sends what is left, waits for all; every parameter that got a gradient on any rank has the sum then.
  void finish() {
    at::NoGradGuard no_grad;
    std::lock_guard<std::mutex> lock(mutex);
    TORCH_CHECK(armed, "the reducer was not armed");
    armed = false;
    std::vector<float> has;
    for (auto &bucket : buckets) {
      for (auto &piece : bucket.pieces) {
        if (!piece.filled && piece.parameter.grad().defined())
          fill(bucket, piece); // from an earlier micro-step
        else if (!piece.filled)
          slice(bucket, piece).zero_();
        has.push_back(piece.filled ? 1.0f : 0.0f);
      }
    }
    for (; next < buckets.size(); ++next)
      send(buckets[next]);
    // From host to host: what a GPU has still to do is not waited for.
    auto anywhere = at::tensor(has);
    std::vector<at::Tensor> flags{anywhere};
    wait_for(host->allreduce(flags));
    const auto *any = anywhere.data_ptr<float>();
    for (auto &bucket : buckets) {
      wait_for(bucket.work);
      for (auto &piece : bucket.pieces)
        if (*any++ > 0)
          // The bucket is the gradient: nothing is copied back.
          piece.parameter.mutable_grad() = slice(bucket, piece);
    }
  }

private:
  void take(size_t b, size_t p) {
    std::lock_guard<std::mutex> lock(mutex);
    if (!armed)
      return;
    at::NoGradGuard no_grad;
    auto &bucket = buckets[b];
    fill(bucket, bucket.pieces[p]);
    bucket.missing -= 1;
    for (; next < buckets.size() && buckets[next].missing == 0; ++next)
      send(buckets[next]);
  }

  at::Tensor slice(Bucket &bucket, const Piece &piece) {
    return bucket.flat.narrow(0, piece.offset, piece.parameter.numel()).view(piece.parameter.sizes());
  }

  void fill(Bucket &bucket, Piece &piece) {
    auto &grad = piece.parameter.mutable_grad();
    slice(bucket, piece).copy_(grad);
    grad.reset();
    piece.filled = true;
  }

  void send(Bucket &bucket) {
    std::vector<at::Tensor> list{bucket.flat};
    bucket.work = group->allreduce(list);
  }

  Backend group, host;
  std::vector<Bucket> buckets;
  std::mutex mutex;
  size_t next = 0;
  bool armed = false;
};

} // namespace

char *cc_store_new(const char *host, uint16_t port, int listen_fd, int64_t timeout_ms, void **out) {
  return guarded([&] {
    no_flight_recorder();
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = listen_fd >= 0;
    options.waitWorkers = false;
    options.timeout = std::chrono::milliseconds(timeout_ms);
    if (listen_fd >= 0)
      options.masterListenFd = listen_fd;
    *out = new Store(c10::make_intrusive<c10d::TCPStore>(host, options));
  });
}

char *cc_store_under(void *store, const char *prefix, void **out) {
  return guarded([&] { *out = new Store(c10::make_intrusive<c10d::PrefixStore>(prefix, *static_cast<Store *>(store))); });
}

char *cc_store_set(void *store, const char *key, const uint8_t *bytes, size_t n) {
  return guarded([&] { (*static_cast<Store *>(store))->set(key, std::vector<uint8_t>(bytes, bytes + n)); });
}

char *cc_store_get(void *store, const char *key, uint8_t **out, size_t *n) {
  return guarded([&] {
    *out = nullptr;
    auto &here = *static_cast<Store *>(store);
    if (!here->check({key}))
      return;
    const auto value = here->get(key);
    *n = value.size();
    *out = static_cast<uint8_t *>(malloc(value.size() + 1));
    TORCH_CHECK(*out, "no memory for the value of ", key);
    std::copy(value.begin(), value.end(), *out);
  });
}

void cc_store_forget(uint8_t *value) { free(value); }

void cc_store_free(void *store) { delete static_cast<Store *>(store); }

char *cc_group_new(void *store, const char *prefix, const char *host, int rank, int size, int64_t timeout_ms,
                   void **out) {
  return guarded([&] {
    const auto timeout = std::chrono::milliseconds(timeout_ms);
    auto options = c10d::ProcessGroupGloo::Options::create(timeout);
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(host));
    auto named = c10::make_intrusive<c10d::PrefixStore>(prefix, *static_cast<Store *>(store));
    *out = new Backend(c10::make_intrusive<c10d::ProcessGroupGloo>(named, rank, size, options));
  });
}

char *cc_send(void *group, tensor t, int to) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> list{*t};
    wait_for(group_of(group)->send(list, to, 0));
  });
}

char *cc_receive(void *group, tensor t, int from) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> list{*t};
    wait_for(group_of(group)->recv(list, from, 0));
  });
}

void cc_group_free(void *group) { delete static_cast<Backend *>(group); }

char *cc_all_reduce(void *group, tensor t, int op) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    c10d::AllreduceOptions options;
    options.reduceOp = static_cast<c10d::ReduceOp::RedOpType>(op);
    std::vector<at::Tensor> list{*t};
    wait_for(group_of(group)->allreduce(list, options));
  });
}

char *cc_broadcast(void *group, tensor t, int root, int64_t timeout_ms) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    c10d::BroadcastOptions options;
    options.rootRank = root;
    if (timeout_ms >= 0)
      options.timeout = std::chrono::milliseconds(timeout_ms);
    std::vector<at::Tensor> list{*t};
    wait_for(group_of(group)->broadcast(list, options));
  });
}

char *cc_all_gather(void *group, tensor out, tensor in) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    wait_for(group_of(group)->_allgather_base(*out, *in));
  });
}

char *cc_reduce_scatter(void *group, tensor out, tensor in) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    wait_for(group_of(group)->_reduce_scatter_base(*out, *in));
  });
}

char *cc_barrier(void *group) {
  return guarded([&] { wait_for(group_of(group)->barrier()); });
}

char *cc_all_gather_autograd(void *group, tensor in, tensor *out) {
  return guarded([&] { *out = new at::Tensor(AllGather::apply(*in, group_of(group))); });
}

char *cc_sum_gradient(void *group, tensor in, tensor *out) {
  return guarded([&] { *out = new at::Tensor(SumGradient::apply(*in, group_of(group))); });
}

char *cc_sum_autograd(void *group, tensor in, tensor *out) {
  return guarded([&] { *out = new at::Tensor(Sum::apply(*in, group_of(group))); });
}

char *cc_reducer_new(void *group, void *host, tensor *parameters, size_t n, int64_t bucket_bytes, void **out) {
  return guarded([&] {
    TORCH_CHECK(n > 0, "no parameter is trained");
    *out = new Reducer(group_of(group), group_of(host), collect(parameters, n), bucket_bytes);
  });
}

char *cc_reducer_arm(void *reducer) {
  return guarded([&] { static_cast<Reducer *>(reducer)->arm(); });
}

char *cc_reducer_finish(void *reducer) {
  return guarded([&] { static_cast<Reducer *>(reducer)->finish(); });
}

void cc_reducer_free(void *reducer) { delete static_cast<Reducer *>(reducer); }
