// What shells and `man` know of the program, written from the command line's own description.
#include <algorithm>
#include <cstdio>

#include "teeny/tool/tool.h"
#include "teeny/version.h"

namespace teeny::tool {

namespace {

struct Options {
  std::string shell;
  const CLI::App* app = nullptr;
};

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (size_t at = 0; (at = text.find(what, at)) != text.npos; at += by.size()) text.replace(at, what.size(), by);
  return text;
}
/// One word for a shell.
std::string quoted(const std::string& text) { return "'" + replaced(text, "'", "'\\''") + "'"; }

/// The words that an option or argument takes, of a list such as f16|f32; empty: any.
std::vector<std::string> choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  return type.find('|') == type.npos ? std::vector<std::string>() : CLI::detail::split(type, '|');
}

std::vector<std::string> options_of(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

void print_bash(const CLI::App& app) {
  std::string cases, values;
  const auto add_words = [&](const std::string& command, const CLI::App& of) {
    std::vector<std::string> words = options_of(of);
    for (const CLI::App* each : commands_of(of)) words.push_back(each->get_name());
    for (const CLI::Option* option : of.get_options()) {
      const std::string choices = CLI::detail::join(choices_of(*option), " ");
      if (choices.empty()) continue;
      if (option->get_positional()) words.push_back(choices);
      else values += "    " + command + "' '--" + option->get_lnames()[0] + ") words='" + choices + "' ;;\n";
    }
    cases += "    " + command + ") words='" + CLI::detail::join(words, " ") + "' ;;\n";
  };
  add_words("''", app);
  for (const CLI::App* command : commands_of(app)) add_words(command->get_name(), *command);
  std::printf(R"(# bash completion of teeny
_teeny() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= words= i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    [[ ${COMP_WORDS[i]} == -* ]] || { command=${COMP_WORDS[i]}; break; }
  done
  case $command in
%s  esac
  case $command' '$before in
%s  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  [[ -n ${COMPREPLY[0]} || -z $command ]] || { compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word"); }
}
complete -F _teeny teeny
)",
              cases.c_str(), values.c_str());
}

void print_zsh(const CLI::App& app) {
  const auto escaped = [](std::string text) {
    for (const char* c : {"\\", "[", "]", ":"}) text = replaced(text, c, std::string("\\") + c);
    return text;
  };
  const auto value = [](const CLI::Option& option) {
    const auto choices = choices_of(option);
    return choices.empty() ? std::string("_files") : "(" + CLI::detail::join(choices, " ") + ")";
  };
  std::string commands, cases;
  for (const CLI::App* command : commands_of(app)) {
    commands += "    " + quoted(escaped(command->get_name()) + ":" + command->get_description()) + "\n";
    cases += "    " + command->get_name() + ") _arguments";
    for (const CLI::Option* option : command->get_options()) {
      if (option->get_positional()) {
        const std::string many = option->get_expected_max() > 1 ? "*" : "";
        cases += " \\\n      " + quoted(many + ":" + escaped(option->get_name()) + ":" + value(*option));
        continue;
      }
      const std::string takes = option->get_type_size() == 0 ? "" : ":" + escaped(option->get_type_name()) + ":" + value(*option);
      cases += " \\\n      " + quoted("*--" + option->get_lnames()[0] + "[" + escaped(option->get_description()) + "]" + takes);
    }
    cases += " ;;\n";
  }
  std::printf(R"(#compdef teeny
_teeny() {
  local -a commands=(
%s  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
%s  esac
}
_teeny "$@"
)",
              commands.c_str(), cases.c_str());
}

void print_fish(const CLI::App& app) {
  std::printf("complete -c teeny -f -n __fish_use_subcommand -l help -l version\n");
  for (const CLI::App* command : commands_of(app)) {
    std::printf("complete -c teeny -f -n __fish_use_subcommand -a %s -d %s\n", command->get_name().c_str(),
                quoted(command->get_description()).c_str());
    for (const CLI::Option* option : command->get_options()) {
      const std::string choices = CLI::detail::join(choices_of(*option), " ");
      std::string line = "complete -c teeny -n '__fish_seen_subcommand_from " + command->get_name() + "'";
      if (option->get_positional() && choices.empty()) continue;
      if (!option->get_positional()) {
        for (const std::string& name : option->get_snames()) line += " -s " + name;
        for (const std::string& name : option->get_lnames()) line += " -l " + name;
        line += option->get_type_size() == 0 ? "" : " -r";
      }
      if (!choices.empty()) line += " -f -a " + quoted(choices);
      std::printf("%s -d %s\n", line.c_str(), quoted(option->get_description()).c_str());
    }
  }
}

/// The page in man(7)'s language: a hyphen is no dash there, and a line does not begin with a point.
void print_man(const CLI::App& app) {
  const auto escaped = [](const std::string& text) {
    return replaced(replaced(replaced(text, "\\", "\\e"), "-", "\\-"), "\n.", "\n\\&.");
  };
  const auto print_details = [&](const CLI::App& command) {
    bool is_example = false;
    for (const std::string& line : CLI::detail::split(command.get_footer(), '\n')) {
      if (line.starts_with(' ') != is_example) std::printf(is_example ? ".EE\n.RE\n" : ".PP\n.RS\n.EX\n");
      is_example = line.starts_with(' ');
      std::printf("%s\n", line.empty() ? ".PP" : escaped(is_example ? line.substr(2) : line).c_str());
    }
    if (is_example) std::printf(".EE\n.RE\n");
  };
  const auto print_entries = [&](const CLI::App& command) {
    for (const Section& section : sections(command))
      for (const auto& [term, text] : section.entries)
        std::printf(".TP\n.B %s\n%s\n", escaped(term).c_str(), escaped(text).c_str());
  };
  std::printf(".TH TEENY 1 \"\" \"teeny %s\"\n.SH NAME\nteeny \\- networks and files of tensors\n.SH SYNOPSIS\n",
              std::string(kVersion).c_str());
  std::printf(".B teeny\n.I COMMAND\n[options]\n.SH DESCRIPTION\n%s\n", escaped(app.get_description()).c_str());
  print_entries(app);
  print_details(app);
  for (const CLI::App* command : commands_of(app)) {
    std::printf(".SH \"teeny %s\"\n%s\n", escaped(command->get_name()).c_str(),
                escaped(sentence(command->get_description())).c_str());
    print_entries(*command);
    std::printf(".PP\n");
    print_details(*command);
  }
}

int completion(const Options& options) {
  const std::pair<const char*, void (*)(const CLI::App&)> pages[] = {
      {"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}, {"man", print_man}};
  for (const auto& [name, print] : pages)
    if (options.shell == name) return print(*options.app), 0;
  throw WrongUsage(options.shell + ": no such shell; bash, zsh, fish, or man for the manual page");
}

}  // namespace

void add_completion(CLI::App& app, Action& action) {
  const auto [command, options] =
      add_command<Options>(app, action, "completion", "print what a shell needs to complete, or the manual page",
                           "`make install` puts all four where they belong. For a shell that is running:\n\n"
                           "  source <(teeny completion bash)\n"
                           "  teeny completion fish | source\n"
                           "  teeny completion man | man -l -",
                           completion);
  command->add_option("SHELL", options->shell, "bash, zsh, fish or man")
      ->required()
      ->type_name("bash|zsh|fish|man");
  options->app = &app;
}

}  // namespace teeny::tool
