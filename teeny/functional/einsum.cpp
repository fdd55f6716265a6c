// Products written in letters. The operands are multiplied from the left to the right, each step one contraction:
//
//   einsum("ij,jk,kl->il", {x, y, z})     (i j, j k -> i k), then (i k, k l -> i l)
//
// A letter is summed in the first step after which nobody needs it. Axes are only named anew: nothing is copied.
#include <algorithm>
#include <map>
#include <string>

#include "teeny/functional/functional.h"

namespace teeny {
namespace {

/// The letters around the "..." of a term, all of them before it when there is none.
struct Term {
  std::string before, after;
  bool dots = false;
};

/// A letter stands for its axis; of the axes of "...", which are aligned at the end, the last is kDots, then kDots + 1.
constexpr int64_t kDots = 256;

struct Labeled {
  Tensor x;
  Dims labels;  ///< one for each axis
};

Term parse(const std::string& text) {
  Term term;
  const size_t at = text.find("...");
  term.dots = at != text.npos;
  term.before = text.substr(0, at);
  if (term.dots) term.after = text.substr(at + 3);
  for (char c : term.before + term.after)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))  // isalpha has the letters of the locale
      fail("einsum: '", c, "' in \"", text, "\" is no letter, nor part of one \"...\"");
  return term;
}

std::vector<Term> parse_all(const std::string& text) {
  std::vector<Term> terms;
  for (size_t begin = 0, comma = 0; comma != text.npos; begin = comma + 1) {
    comma = text.find(',', begin);
    terms.push_back(parse(text.substr(begin, comma - begin)));
  }
  return terms;
}

/// The labels of a term whose "..." stands for `dots` axes.
Dims labels_of(const Term& term, int dots) {
  check_rank(int(term.before.size() + term.after.size()) + dots, "einsum");
  Dims labels(term.before.begin(), term.before.end());
  for (int i = dots - 1; i >= 0; --i) labels.push_back(kDots + i);
  for (char c : term.after) labels.push_back(c);
  return labels;
}

std::string name_of(int64_t label) { return label < kDots ? std::string(1, char(label)) : "..."; }

int find(const Dims& labels, int64_t label) {
  return int(std::find(labels.begin(), labels.end(), label) - labels.begin());
}

/// "ii": walks the two axes together.
void take_diagonals(Labeled& t) {
  for (int b = 0; b < t.labels.size();) {
    const int64_t label = t.labels[b];
    const int a = find(t.labels, label);
    if (a == b) {
      ++b;
      continue;
    }
    if (t.x.shape()[a] != t.x.shape()[b])
      fail("einsum: ", name_of(label), " names axes of sizes ", t.x.shape()[a], " and ", t.x.shape()[b],
           " of one operand");
    t.x = t.x.diagonal(a, b);  // which puts it last
    t.labels.erase(b);
    t.labels.erase(a);
    t.labels.push_back(label);
    b = 0;
  }
}

/// Forgets axes of size 1.
void drop(Labeled& t, const Dims& axes) {
  Shape shape;
  Dims labels;
  for (int a = 0; a < t.labels.size(); ++a) {
    if (axes.contains(a)) continue;
    shape.push_back(t.x.shape()[a]);
    labels.push_back(t.labels[a]);
  }
  t = {t.x.reshape(shape), labels};
}

/// Sums the axes whose label nobody needs any more.
template <class Needed>
void sum_rest(Labeled& t, Needed needed) {
  Dims rest;
  for (int a = 0; a < t.labels.size(); ++a)
    if (!needed(t.labels[a])) rest.push_back(a);
  if (rest.empty()) return;
  t.x = t.x.sum(rest, true);
  drop(t, rest);
}

/// An axis for each of `labels`, in their order; of size 1 where t has none.
Tensor aligned(const Labeled& t, const Dims& labels) {
  Dims order;
  Shape to;
  for (int64_t label : labels) {
    const int at = find(t.labels, label);
    const bool has = at < t.labels.size();
    if (has) order.push_back(at);
    to.push_back(has ? t.x.shape()[at] : 1);
  }
  return t.x.permute(order).reshape(to);
}

/// The operands with their axes named as the formula says, and the result's labels: everything is checked here.
struct Plan {
  std::vector<Labeled> operands;
  Dims result;

  Plan(std::string_view formula, std::span<const Tensor> given) {
    std::string text(formula);
    std::erase(text, ' ');
    const size_t arrow = text.find("->");
    const std::vector<Term> terms = parse_all(text.substr(0, arrow));
    if (terms.size() != given.size())
      fail("einsum: \"", formula, "\" names ", terms.size(), " operands, and ", given.size(), " were given");
    int dots = 0;
    std::map<int64_t, int64_t> occurrences;  // of each label, in alphabetical order
    for (size_t k = 0; k < terms.size(); ++k) {
      const int letters = int(terms[k].before.size() + terms[k].after.size()), rest = given[k].rank() - letters;
      if (rest < 0 || (rest > 0 && !terms[k].dots))
        fail("einsum: \"", formula, "\" names ", letters, " axes of operand ", k, ", which is ", given[k].shape());
      dots = std::max(dots, rest);
      operands.push_back({given[k], labels_of(terms[k], rest)});
      for (int64_t label : operands[k].labels) ++occurrences[label];
      take_diagonals(operands[k]);
    }
    check_sizes(formula);
    if (arrow == text.npos) {
      result = labels_of({}, dots);
      for (const auto& [label, times] : occurrences) {
        if (label >= kDots || times != 1) continue;
        check_rank(result.size() + 1, "einsum");
        result.push_back(label);
      }
      return;
    }
    const Term term = parse(text.substr(arrow + 2));
    result = labels_of(term, term.dots ? dots : 0);
    for (int a = 0; a < result.size(); ++a) {
      const std::string name = name_of(result[a]);
      if (!occurrences.contains(result[a]))
        fail("einsum: \"", formula, "\": ", name, " of the result occurs in no operand");
      if (find(result, result[a]) != a) fail("einsum: \"", formula, "\": ", name, " is twice in the result");
    }
  }

  /// One label, one size, or 1, which broadcasts.
  void check_sizes(std::string_view formula) const {
    std::map<int64_t, int64_t> sizes;
    for (size_t k = 0; k < operands.size(); ++k) {
      for (int a = 0; a < operands[k].labels.size(); ++a) {
        const int64_t label = operands[k].labels[a], size = operands[k].x.shape()[a];
        int64_t& known = sizes.try_emplace(label, 1).first->second;
        if (size != known && size != 1 && known != 1)
          fail("einsum: \"", formula, "\": ", name_of(label), " has size ", known, ", and ", size, " in operand ", k);
        if (known == 1) known = size;
      }
    }
  }

  /// Whether the result or an operand from the k-th on has this label.
  bool needs(int64_t label, size_t k) const {
    const auto has = [&](const Labeled& t) { return t.labels.contains(label); };
    return result.contains(label) || std::any_of(operands.begin() + int64_t(k), operands.end(), has);
  }
};

}  // namespace

Tensor Tensor::einsum(std::string_view formula, std::span<const Tensor> operands) {
  for (const Tensor& x : operands) x.lazy("einsum");
  // What other frameworks read alike: they have no capitals, and "..." neither broadcasts nor is summed.
  if (formula.find_first_not_of("abcdefghijklmnopqrstuvwxyz,-> ") == formula.npos)
    TEENY_TRACED(einsum(formula, operands), {operands.begin(), operands.end()}, {{"formula", std::string(formula)}});
  const Plan plan(formula, operands);
  DType common = operands[0].dtype();
  for (const Tensor& x : operands) common = promote(common, x.dtype());
  // What one operand alone has is summed before it is multiplied: (sum of x) * y costs less than the sum of x * y. As
  // in PyTorch such a sum of bools or small integers is int64, like every sum, and products go on in the type they are
  // of.
  Labeled product = plan.operands[0];
  product.x = product.x.cast(common);
  sum_rest(product, [&](int64_t label) { return plan.needs(label, 1); });
  for (size_t k = 1; k < operands.size(); ++k) {
    Labeled next = plan.operands[k];
    next.x = next.x.cast(common);
    sum_rest(next, [&](int64_t label) { return product.labels.contains(label) || plan.needs(label, k + 1); });
    Dims all = product.labels, summed;
    for (int64_t label : next.labels) {
      if (all.contains(label)) continue;
      check_rank(all.size() + 1, "einsum");
      all.push_back(label);
    }
    for (int a = 0; a < all.size(); ++a)
      if (!plan.needs(all[a], k + 1)) summed.push_back(a);
    broadcast(aligned(product, all).shape(), aligned(next, all).shape(), "einsum");
    const DType type = promote(product.x.dtype(), next.x.dtype());
    if (type == DType::Bool && !summed.empty()) fail("einsum: bools are not added; \"", formula, "\" sums a product");
    product = {product_sum(aligned(product, all).cast(type), aligned(next, all).cast(type), summed), all};
    drop(product, summed);
  }
  return aligned(product, plan.result);
}

}  // namespace teeny
