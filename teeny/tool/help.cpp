// What --help, the manual page and a wrong command line say, made from the command line's own description.
#include <algorithm>

#include "teeny/tool/print.h"
#include "teeny/tool/tool.h"

namespace teeny::tool {

namespace {

/// `-o, --out FILE`, or of an argument its name.
std::string term_of(const CLI::Option& option) {
  std::string term;
  for (const std::string& name : option.get_snames()) term += (term.empty() ? "-" : ", -") + name;
  for (const std::string& name : option.get_lnames()) term += (term.empty() ? "--" : ", --") + name;
  if (term.empty()) return option.get_name();
  const std::string value = option.get_type_size() == 0 ? "" : option.get_type_name();
  return value.empty() ? term : term + " " + value;
}

std::string text_of(const CLI::Option& option) {
  const std::string& otherwise = option.get_default_str();
  return option.get_description() + (otherwise.empty() ? "" : " (" + otherwise + ")");
}

std::string usage_of(const CLI::App& app) {
  std::string usage = app.get_parent() ? "teeny " + app.get_name() : "teeny COMMAND";
  bool has_options = false;
  for (const CLI::Option* option : app.get_options())
    if (!option->get_positional()) has_options = true;
    else {
      const std::string name = option->get_name() + (option->get_expected_max() > 1 ? "..." : "");
      usage += option->get_required() ? " " + name : " [" + name + "]";
    }
  return usage + (has_options ? " [options]" : "");
}

/// What may stand on the command line: options, and commands.
std::vector<std::string> names_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  for (const CLI::App* command : commands_of(app)) names.push_back(command->get_name());
  return names;
}

size_t distance(std::string_view a, std::string_view b) {  // of Levenshtein
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j)
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])}));
  }
  return row.back();
}

}  // namespace

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<Section> sections(const CLI::App& app) {
  Section commands{"commands"}, arguments{"arguments"}, options{"options"};
  for (const CLI::App* command : commands_of(app))
    commands.entries.emplace_back(command->get_name(), command->get_description());
  for (const bool is_common : {false, true})  // what every command has comes last
    for (const CLI::Option* option : app.get_options())
      if (is_common ==
          (option->check_name("--json") || option->check_name("--help") || option->check_name("--version")))
        (option->get_positional() ? arguments : options).entries.emplace_back(term_of(*option), text_of(*option));
  std::vector<Section> all;
  for (Section& section : std::vector{commands, arguments, options})
    if (!section.entries.empty()) all.push_back(std::move(section));
  return all;
}

std::string sentence(std::string text) {
  text[0] = char(std::toupper(uint8_t(text[0])));
  return text.ends_with('.') ? text : text + ".";
}

std::string help(const CLI::App& app, int width) {
  width = width > 0 ? std::min(width, 100) : 80;
  std::string out =
      wrapped("usage: " + usage_of(app), 0, width) + "\n\n" + wrapped(sentence(app.get_description()), 0, width);
  for (const Section& section : sections(app)) {
    out += "\n\n" + section.title;
    int column = 0;
    for (const auto& [term, text] : section.entries) column = std::max(column, width_of(term) + 4);
    column = std::min(column, width / 3);
    for (const auto& [term, text] : section.entries) {
      out += "\n  " + term;
      if (width_of(term) + 4 > column) out += "\n" + std::string(size_t(column), ' ');
      else out += std::string(size_t(column - 2 - width_of(term)), ' ');
      out += wrapped(text, column, width);
    }
  }
  const std::string details = app.get_footer();
  if (!details.empty()) out += "\n";
  for (size_t begin = 0; begin < details.size();) {
    const size_t end = std::min(details.find('\n', begin), details.size());
    const std::string line = details.substr(begin, end - begin);
    out += "\n" + (line.starts_with(' ') ? line : wrapped(line, 0, width));
    begin = end + 1;
  }
  return out + "\n";
}

std::string complaint(const CLI::App& app, const CLI::ParseError& error) {
  const auto chosen = app.get_subcommands();
  const CLI::App& command = chosen.empty() ? app : *chosen[0];
  const std::string name = chosen.empty() ? "teeny" : "teeny " + command.get_name();
  const std::vector<std::string> rest = command.remaining(), known = names_of(command);
  std::string what = error.what();
  if (!rest.empty() && (chosen.empty() || dynamic_cast<const CLI::ExtrasError*>(&error))) {
    const std::string given = rest[0].substr(0, rest[0].find('='));
    const bool is_option = given.starts_with('-');
    what = given + (is_option ? ": no such option" : chosen.empty() ? ": no such command" : ": one argument too many");
    const auto closest = std::ranges::min_element(known, {}, [&](const std::string& k) { return distance(given, k); });
    if (closest != known.end() && distance(given, *closest) <= 2) what += "; " + *closest + "?";
  } else if (chosen.empty()) {
    what = "a command is missing:";
    for (const std::string& k : known)
      if (!k.starts_with('-')) what += " " + k;
  }
  return name + ": " + printable(what) + " (" + name + " --help says more)";
}

}  // namespace teeny::tool
