// Where libtorch's big blocks of memory on the CPU come from.
//
// Its own way, posix_memalign and free, gives a big block back to the system each time: a training step then spends a
// good part of its time on page faults, on memory that it had a moment ago; and small pages cost reading weights a
// third of its speed. Here a big block is mapped by itself, in huge pages where the system has them, and one that is
// freed is kept for the next that fits. What is kept is bounded by what is in use.
#include "guarded.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>

namespace {

constexpr size_t kBig = 1 << 20;
constexpr size_t kHuge = 2 << 20;

// Bytes of all tensors that live on the CPU, and the most so far.
std::atomic<int64_t> live{0}, most{0};

void count(int64_t bytes) {
  const auto now = live.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  auto seen = most.load(std::memory_order_relaxed);
  while (now > seen && !most.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
  }
}

class Blocks {
public:
  void *take(size_t bytes) {
    std::lock_guard<std::mutex> hold(lock);
    // The smallest that is big enough, and not a quarter too big.
    auto found = kept.lower_bound(bytes);
    if (found != kept.end() && found->first <= bytes + bytes / 4) {
      void *at = found->second;
      in_use[at] = found->first;
      used += found->first;
      count(static_cast<int64_t>(found->first));
      idle -= found->first;
      kept.erase(found);
      return at;
    }
    void *at = map(bytes);
    if (!at) {
      give_back(0);
      at = map(bytes);
    }
    if (at) {
      in_use[at] = bytes;
      used += bytes;
      count(static_cast<int64_t>(bytes));
      give_back(bound());
    }
    return at;
  }

  size_t kept_bytes() {
    std::lock_guard<std::mutex> hold(lock);
    return idle;
  }

  // Whether the block was one of these.
  bool release(void *at) {
    std::lock_guard<std::mutex> hold(lock);
    const auto found = in_use.find(at);
    if (found == in_use.end())
      return false;
    const size_t bytes = found->second;
    count(-static_cast<int64_t>(bytes));
    in_use.erase(found);
    used -= bytes;
    kept.emplace(bytes, at);
    idle += bytes;
    give_back(bound());
    return true;
  }

private:
  size_t bound() const { return std::max<size_t>(kLeast, used / 32); }

  // The biggest first: they are the rarest to fit.
  void give_back(size_t leave) {
    while (idle > leave && !kept.empty()) {
      const auto last = std::prev(kept.end());
      idle -= last->first;
      munmap(last->second, last->first);
      kept.erase(last);
    }
  }

  // Begins at the border of a huge page; its end is as long as is asked for, in small ones.
  static void *map(size_t bytes) {
    const size_t around = bytes + kHuge;
    void *got = mmap(nullptr, around, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED)
      return nullptr;
    const auto from = reinterpret_cast<uintptr_t>(got);
    const auto at = (from + kHuge - 1) / kHuge * kHuge;
    if (at > from)
      munmap(got, at - from);
    if (from + around > at + bytes)
      munmap(reinterpret_cast<void *>(at + bytes), from + around - (at + bytes));
    // Without huge pages all is right, only slower.
    (void)madvise(reinterpret_cast<void *>(at), bytes, MADV_HUGEPAGE);
    return reinterpret_cast<void *>(at);
  }

  static constexpr size_t kLeast = 64 << 20;

  std::mutex lock;
  std::multimap<size_t, void *> kept;
  std::unordered_map<void *, size_t> in_use;
  size_t used = 0, idle = 0;
};

// Never destroyed: tensors may outlive everything else.
Blocks &blocks() {
  static auto *all = new Blocks;
  return *all;
}

c10::Allocator *usual = nullptr;

void release(void *at) {
  // Big blocks begin at huge pages; few others do.
  if (reinterpret_cast<uintptr_t>(at) % kHuge == 0 && blocks().release(at))
    return;
  if (at)
    count(-static_cast<int64_t>(malloc_usable_size(at)));
  usual->raw_deleter()(at);
}

struct BigBlocks final : c10::Allocator {
  at::DataPtr allocate(size_t bytes) override {
    if (bytes < kBig) {
      auto small = usual->allocate(bytes);
      void *at = small.release_context();
      if (at)
        count(static_cast<int64_t>(malloc_usable_size(at)));
      return {at, at, &release, at::Device(at::kCPU)};
    }
    void *at = blocks().take((bytes + 4095) / 4096 * 4096);
    // libtorch's words for it, by which the batch is made smaller.
    TORCH_CHECK(at, "DefaultCPUAllocator: can't allocate memory: you tried to allocate ", bytes, " bytes.");
    return {at, at, &release, at::Device(at::kCPU)};
  }
  at::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void *to, const void *from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }
};

} // namespace

char *cc_keep_big_blocks() {
  return guarded([] {
    static BigBlocks big;
    if (usual)
      return;
    usual = c10::GetDefaultCPUAllocator();
    TORCH_CHECK(usual->raw_deleter(), "the CPU allocator has no plain deleter");
    c10::SetCPUAllocator(&big, /*priority=*/1);
  });
}

char *cc_cpu_memory(int64_t *out) {
  return guarded([&] {
    out[0] = usual ? live.load() : -1;
    out[1] = usual ? live.load() + static_cast<int64_t>(blocks().kept_bytes()) : -1;
    out[2] = usual ? most.load() : -1;
  });
}
