// What tch 0.24 lacks, as plain C. Every function that can fail returns null on success, else a message
// that the caller frees with cc_free_message. Tensors are torch-sys's C_tensor: a heap-held at::Tensor.
#pragma once
#include <cstddef>
#include <cstdint>

namespace at { class Tensor; }
using tensor = at::Tensor *;

extern "C" {
void cc_free_message(char *message);

char *cc_gradients(tensor *parameters, size_t n, tensor *out);
char *cc_clear_gradients(tensor *parameters, size_t n);
char *cc_with_gradients(tensor value, tensor *inputs, tensor *gradients, size_t n, tensor *out);

// Sends a tensor's numbers to the host, behind what its device has to do up to now; nothing is waited for. The end waits
// for them alone, and gives them as a tensor on the CPU.
char *cc_fetch_begin(tensor t, void **out);
char *cc_fetch_end(void *fetch, tensor *out);
void cc_fetch_free(void *fetch);

char *cc_gradient_norm(tensor *gradients, size_t n, tensor *out);
char *cc_clip_gradients(tensor *gradients, size_t n, tensor total_norm, double max_norm);

// Big blocks of CPU memory are mapped in huge pages and kept for the next; before the first tensor is made.
char *cc_keep_big_blocks();
// Bytes of all tensors on the CPU, with what is kept for the next ones, and the most in tensors so far; -1 each without
// the call above.
char *cc_cpu_memory(int64_t out[3]);

// x weight^T + bias, or x weight where transposed (no bias then). In no-grad mode a few float32 rows on the CPU
// take loops of our own.
char *cc_linear(tensor x, tensor weight, tensor bias, int transposed, tensor *out);

// W ln(x) + b of (x, gain, shift, W, b), and x + P gelu(F ln(x) + f) + p of (x, gain, shift, F, f, P, p): one node of the
// graph each, whose backward computes the inside again. Null where nothing is recorded, or not float32 on the CPU.
char *cc_norm_linear(tensor *inputs, tensor *out);
char *cc_norm_mlp(tensor *inputs, tensor *out);

// Steps of blocks, one after the other, in one call. A step is one new position: x [rows,...,width] becomes x + attention,
// then x + mlp, in place. weights are ln_1, in_proj (q, k, v), out_proj, ln_2, c_fc and c_proj, each with its bias; matrices
// lie as [out,in], or faster as the transposed of [in,out]. keys and values are [groups,heads,room,c]: of a self-attention
// `filled` positions of each row, and the new one is put behind them; where filled is -1, of a cross-attention, all filled,
// for rows / groups rows each. open [rows,...], 0 or -inf for each key, may be null. done is 0, and no step was added, where
// this is not float32 on the CPU or the sizes do not fit. What was added is held until it was run.
void *cc_steps_new();
void cc_steps_free(void *steps);
char *cc_steps_add(void *steps, tensor x, tensor *weights, tensor keys, tensor values, int64_t heads, int64_t filled,
                   tensor open, int *done);
char *cc_steps_run(void *steps);

char *cc_fill_normal(tensor t, double mean, double std, uint64_t seed);
char *cc_fill_uniform(tensor t, double low, double high, uint64_t seed);
char *cc_multinomial(tensor probabilities, void *generator, tensor *out);
char *cc_generator_new(uint64_t seed, void **out);
void cc_generator_free(void *generator);

char *cc_autocast_enter(int cuda, int dtype, int *was_enabled, int *was_dtype);
char *cc_autocast_exit(int cuda, int was_enabled, int was_dtype);

char *cc_cuda_device_count(int *out);
char *cc_cuda_memory(int device, int64_t out[3]);
char *cc_cuda_reset_peak(int device);
}
