#pragma once
// Words of Graphviz's language.
#include <string>

#include "teeny/tool/print.h"

namespace teeny::tool {

/// Graphviz reads a part of HTML. Not too long a line.
inline std::string for_html(const std::string& text) {
  constexpr int kLongest = 60;
  std::string out;
  for (char c : shortened(printable(text), kLongest))
    out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '"' ? "&quot;" : std::string(1, c);
  return out;
}

inline std::string row(const std::string& html, const std::string& colour) {
  return "<tr><td align=\"left\" bgcolor=\"" + colour + "\">" + html + "</td></tr>";
}
inline std::string table(const std::string& name, const std::string& rows) {
  return "  " + name + " [label=<<table border=\"1\" cellborder=\"0\" cellspacing=\"0\" cellpadding=\"3\">" + rows +
         "</table>>];\n";
}

template <class Sizes>
std::string joined(const Sizes& sizes, const char* between) {
  std::string out;
  for (const auto& size : sizes) out += text(out.empty() ? "" : between, size);
  return out;
}

inline constexpr const char kGraphStyle[] =
    "  node [shape=plain fontname=\"sans-serif\" fontsize=11];\n"
    "  edge [color=\"#555555\" fontname=\"sans-serif\" fontsize=9 fontcolor=\"#555555\"];\n"
    "  graph [fontname=\"sans-serif\" fontsize=10 color=\"#aaaaaa\" labeljust=l ranksep=0.3 nodesep=0.25];\n";
inline constexpr const char *kPlain = "#ffffff", *kOutside = "#dff2dc";

}  // namespace teeny::tool
