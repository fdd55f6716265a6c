// Golden lines: products, attention. See test_golden.cpp.
#include "tests/golden.h"

namespace teeny::test {

std::vector<GoldenLine> golden_products() {
  return {
      {"matmul", FN(x.matmul(y))},
      {"matmul_transposed", FN(x.t().matmul(y.t()))},
      {"matmul_self", FN(x.matmul(x))},
      {"matmul_three", FN(x.matmul(y).matmul(z))},
      {"matmul_chain", FN(x.matmul(y).relu().matmul(y.t()) + x)},
      {"dot", FN(x.dot(y))},
      {"linear", FN(x.linear(y, z))},

      {"einsum_identity", FN(Tensor::einsum("ij->ij", {x}))},
      {"einsum_transpose", FN(Tensor::einsum("ij->ji", {x}))},
      {"einsum_permute", FN(Tensor::einsum("abcd->cadb", {x}))},
      {"einsum_implicit_transpose", FN(Tensor::einsum("ba", {x}))},
      {"einsum_capitals_first", FN(Tensor::einsum("bA", {x}))},
      {"einsum_sum", FN(Tensor::einsum("ij->", {x}))},
      {"einsum_sum_column", FN(Tensor::einsum("ij->j", {x}))},
      {"einsum_sum_row", FN(Tensor::einsum("ij->i", {x}))},
      {"einsum_trace", FN(Tensor::einsum("ii", {x}))},
      {"einsum_diagonal", FN(Tensor::einsum("ii->i", {x}))},
      {"einsum_diagonal_twice", FN(Tensor::einsum("ijij->ji", {x}))},
      {"einsum_diagonal_three", FN(Tensor::einsum("iii->i", {x}))},
      {"einsum_diagonal_batches", FN(Tensor::einsum("bii->bi", {x}))},
      {"einsum_matvec", FN(Tensor::einsum("ik,k->i", {x, y}))},
      {"einsum_matmul", FN(Tensor::einsum("ik,kj->ij", {x, y}))},
      {"einsum_matmul_implicit", FN(Tensor::einsum("ik,kj", {x, y}))},
      {"einsum_matmul_transposed", FN(Tensor::einsum("ki,jk->ji", {x, y}))},
      {"einsum_dot", FN(Tensor::einsum("i,i->", {x, y}))},
      {"einsum_dot_matrices", FN(Tensor::einsum("ij,ij->", {x, y}))},
      {"einsum_hadamard", FN(Tensor::einsum("ij,ij->ij", {x, y}))},
      {"einsum_outer", FN(Tensor::einsum("i,j->ij", {x, y}))},
      {"einsum_lone_letters", FN(Tensor::einsum("ij,kl->ik", {x, y}))},
      {"einsum_batched_matmul", FN(Tensor::einsum("bij,bjk->bik", {x, y}))},
      {"einsum_heads", FN(Tensor::einsum("bqhd,bkhd->bhqk", {x, y}))},
      {"einsum_contraction", FN(Tensor::einsum("pqrs,tuqvr->pstuv", {x, y}))},
      {"einsum_bilinear", FN(Tensor::einsum("ik,jkl,il->ij", {x, y, z}))},
      {"einsum_chain", FN(Tensor::einsum("ij,jk,kl->il", {x, y, z}))},
      {"einsum_four", FN(Tensor::einsum("a,b,ab,c->bc", {x, y, z, w}))},
      {"einsum_trace_of_product", FN(Tensor::einsum("ij,ji", {x, y}))},
      {"einsum_diagonal_of_product", FN(Tensor::einsum("ii,ij->j", {x, y}))},
      {"einsum_same_twice", FN(Tensor::einsum("ij,kj->ik", {x, x}))},
      {"einsum_scalars", FN(Tensor::einsum(",", {x, y}))},
      {"einsum_scalar_times", FN(Tensor::einsum(",ij->ji", {x, y}))},
      {"einsum_spaces", FN(Tensor::einsum(" i k , k j -> i j ", {x, y}))},
      {"einsum_dots", FN(Tensor::einsum("...ij,...jk->...ik", {x, y}))},
      {"einsum_dots_implicit", FN(Tensor::einsum("...ij,...jk", {x, y}))},
      {"einsum_dots_first", FN(Tensor::einsum("...i->i...", {x}))},
      {"einsum_dots_middle", FN(Tensor::einsum("i...j->j...i", {x}))},
      {"einsum_dots_last", FN(Tensor::einsum("i...,i...->...", {x, y}))},
      {"einsum_dots_summed", FN(Tensor::einsum("i...->i", {x}))},
      {"einsum_dots_diagonal", FN(Tensor::einsum("...ii->...i", {x}))},
      {"einsum_dots_only_result", FN(Tensor::einsum("ij->...ji", {x}))},

      {"attention", FN(x.scaled_dot_product_attention(y, z))},
      {"attention_causal", FN(x.scaled_dot_product_attention(y, z, {.causal = true}))},
      {"attention_mask", FN(x.scaled_dot_product_attention(y, z, w))},
  };
}

}  // namespace teeny::test
