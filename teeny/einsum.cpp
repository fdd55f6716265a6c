// Products written in letters. The operands are multiplied from the left to the right, each step one contraction:
//
//   einsum("ij,jk,kl->il", {x, y, z})     (i j, j k -> i k), then (i k, k l -> i l)
//
// A letter is summed in the first step after which nobody needs it. Axes are only named anew: nothing is copied.
#include <algorithm>
#include <cctype>
#include <map>
#include <string>

#include "teeny/mlops.h"

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
    if (!std::isalpha(static_cast<unsigned char>(c)))
      fail("einsum: '", c, "' in \"", text, "\" is no letter, nor part of one \"...\"");
  return term;
}

/// The labels of a term whose "..." stands for `dots` axes.
Dims labels_of(const Term& term, int dots) {
  Dims labels(term.before.begin(), term.before.end());
  for (int i = dots - 1; i >= 0; --i) labels.push_back(kDots + i);
  for (char c : term.after) labels.push_back(c);
  return labels;
}

std::string name_of(int64_t label) { return label < kDots ? std::string(1, char(label)) : "..."; }

int find(const Dims& labels, int64_t label) { return int(std::find(labels.begin(), labels.end(), label) - labels.begin()); }

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
      fail("einsum: ", name_of(label), " names axes of sizes ", t.x.shape()[a], " and ", t.x.shape()[b], " of one operand");
    t.x = t.x.diagonal(a, b);  // which puts it last
    t.labels.erase(b);
    t.labels.erase(a);
    t.labels.push_back(label);
    b = 0;
  }
}

template <class Needed>
void sum_rest(Labeled& t, Needed needed) {
  Dims summed, kept;
  for (int a = 0; a < t.labels.size(); ++a)
    if (needed(t.labels[a])) kept.push_back(t.labels[a]);
    else summed.push_back(a);
  if (!summed.empty()) t = {t.x.sum(summed), kept};
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

}  // namespace

Tensor Tensor::einsum(std::string_view formula, std::span<const Tensor> operands) {
  std::string text;
  for (char c : formula)
    if (c != ' ') text += c;
  const size_t arrow = text.find("->");
  const std::string left = text.substr(0, arrow);
  std::vector<Term> terms;
  for (size_t begin = 0, end = 0; end != left.npos; begin = end + 1) {
    end = left.find(',', begin);
    terms.push_back(parse(left.substr(begin, end == left.npos ? end : end - begin)));
  }
  if (terms.size() != operands.size())
    fail("einsum: \"", formula, "\" names ", terms.size(), " operands, and ", operands.size(), " were given");

  // The axes get their names; one name, one size, or 1.
  std::vector<Labeled> named;
  std::map<int64_t, int64_t> sizes, occurrences;
  int dots = 0;
  DType common = operands[0].dtype();
  for (size_t k = 0; k < terms.size(); ++k) {
    const int letters = int(terms[k].before.size() + terms[k].after.size()), rest = operands[k].rank() - letters;
    if (rest < 0 || (rest > 0 && !terms[k].dots))
      fail("einsum: \"", formula, "\" names ", letters, " axes of operand ", k, ", which is ", operands[k].shape());
    Labeled t{operands[k], labels_of(terms[k], rest)};
    for (int64_t label : t.labels) ++occurrences[label];
    take_diagonals(t);
    for (int a = 0; a < t.labels.size(); ++a) {
      int64_t& known = sizes.try_emplace(t.labels[a], 1).first->second;
      const int64_t size = t.x.shape()[a];
      if (size != known && size != 1 && known != 1)
        fail("einsum: \"", formula, "\": ", name_of(t.labels[a]), " has size ", known, ", and ", size, " in operand ", k);
      if (known == 1) known = size;
    }
    dots = std::max(dots, rest);
    common = promote(common, t.x.dtype());
    named.push_back(std::move(t));
  }

  Dims result;
  if (arrow != text.npos) {
    const Term term = parse(text.substr(arrow + 2));
    result = labels_of(term, term.dots ? dots : 0);
    for (int a = 0; a < result.size(); ++a) {
      if (!occurrences.contains(result[a]))
        fail("einsum: \"", formula, "\": ", name_of(result[a]), " of the result occurs in no operand");
      if (find(result, result[a]) != a) fail("einsum: \"", formula, "\": ", name_of(result[a]), " is twice in the result");
    }
  } else {
    result = labels_of({}, dots);
    for (const auto& [label, times] : occurrences)  // in alphabetical order
      if (label < kDots && times == 1) result.push_back(label);
  }

  const auto needed_from = [&](size_t k) {
    return [&, k](int64_t label) {
      return result.contains(label) || std::any_of(named.begin() + int64_t(k), named.end(), [&](const Labeled& t) {
               return t.labels.contains(label);
             });
    };
  };
  Labeled product = named[0];
  sum_rest(product, needed_from(1));
  for (size_t k = 1; k < named.size(); ++k) {
    Labeled& next = named[k];
    const auto needed = needed_from(k + 1);
    sum_rest(next, [&](int64_t label) { return product.labels.contains(label) || needed(label); });
    Dims all = product.labels, summed, kept;
    for (int64_t label : next.labels)
      if (!all.contains(label)) all.push_back(label);
    for (int a = 0; a < all.size(); ++a)
      if (needed(all[a])) kept.push_back(all[a]);
      else summed.push_back(a);
    if (common == DType::Bool && !summed.empty()) fail("einsum: bools are not added; \"", formula, "\" sums a product");
    const Tensor whole = product_sum(aligned(product, all).cast(common), aligned(next, all).cast(common), summed);
    Shape shape;
    for (int a = 0; a < all.size(); ++a)
      if (!summed.contains(a)) shape.push_back(whole.shape()[a]);
    product = {whole.reshape(shape), kept};
  }
  return aligned(product, result);
}

}  // namespace teeny
