// Parameters that ranks of a group share: every rank owns an equal part of each unit (a block of the model), and has
// the whole of it at most while the block computes.
#pragma once

#include "group.h"

extern "C" {
// copies: the group of ranks that own the same parts, or null. frees: parameters are here only while gathered.
char *cc_shards_new(void *group, void *copies, int frees, void **out);
void *cc_shards_share(void *shards);
void cc_shards_free(void *shards);

// Takes over n parameters as the next unit; out gets n leaves to compute with.
char *cc_shards_add(void *shards, tensor *parameters, size_t n, tensor *out);
// This rank's part of a unit, one axis; a null tensor where gradient has none yet.
char *cc_shards_shard(void *shards, size_t unit, tensor *out);
char *cc_shards_gradient(void *shards, size_t unit, tensor *out);
char *cc_shards_gather(void *shards, size_t unit);
char *cc_shards_release(void *shards, size_t unit);
// Sums the gradients that the unit's parameters hold over all ranks, into this rank's part; waits for nothing.
char *cc_shards_reduce(void *shards, size_t unit);
// Waits for the last sum; touched gets 1 for every parameter of every unit that had a gradient here, else 0.
char *cc_shards_finish(void *shards, float *touched, size_t n);
char *cc_shards_clear(void *shards);
// After an update of the own parts: makes the units whole again, where they are kept whole.
char *cc_shards_publish(void *shards);
// How often a unit was on its way already when it was needed.
uint64_t cc_shards_ahead(void *shards);
// Bytes of the unit that is on its way now.
uint64_t cc_shards_coming(void *shards);
// Bytes of memory that parameters and gradients take now.
char *cc_shards_bytes(void *shards, uint64_t out[2]);
}

class Shards : public torch::CustomClassHolder {
public:
  Shards(Backend group, Backend copies, bool frees)
      : group(std::move(group)), copies(std::move(copies)), frees(frees) {}

  std::vector<at::Tensor> add(std::vector<at::Tensor> parameters);
  void gather(size_t unit);
  void release(size_t unit);
  void reduce(size_t unit);
  std::vector<float> finish();
  void clear();
  void publish();
  std::pair<uint64_t, uint64_t> bytes() const;

  uint64_t ahead_count() const { return came_ahead; }
  uint64_t coming_bytes() const { return ahead ? ahead->whole.storage().nbytes() : 0; }
  at::Tensor shard(size_t unit) const { return units.at(unit).shard; }
  at::Tensor gradient(size_t unit) const { return units.at(unit).gradient; }

private:
  struct Unit {
    std::vector<at::Tensor> parameters;
    // All parameters one behind the other, and padding; its memory comes and goes where `frees`.
    at::Tensor flat;
    at::Tensor shard;
    at::Tensor gradient;
    std::vector<bool> touched;
    int held = 0;
  };
  // A sum under way: at most one at a time, so that no more than two units' whole gradients are here at once.
  struct Flight {
    size_t unit;
    at::Tensor sent, received;
    c10::intrusive_ptr<c10d::Work> work;
  };

  // A unit on its way to here while another computes.
  struct Ahead {
    size_t unit;
    at::Tensor whole;
    c10::intrusive_ptr<c10d::Work> work;
  };

  void land();
  at::Tensor fetch(size_t unit);
  void fetch_next();
  void forget_ahead();

  Backend group, copies;
  bool frees;
  std::vector<Unit> units;
  std::optional<Flight> flight;
  std::optional<Ahead> ahead;
  // Units in the order in which they are gathered: of the step before, and of this one so far. Every rank has the same.
  std::vector<size_t> before, order;
  bool in_step = false;
  uint64_t came_ahead = 0;
};
