// What shells and `man` know of the program, written from the command line's own description.
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

/// What an option or argument takes of a list such as f16|f32, with spaces between; empty: it takes anything.
std::string choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  return type.find('|') == type.npos || type.find('=') != type.npos ? "" : replaced(type, "|", " ");
}

/// Functions for bash, which zsh runs, too. Where no word fits, files are completed.
void print_bash(const CLI::App& app) {
  std::string words, values;
  std::vector<const CLI::App*> all = commands_of(app);
  all.push_back(&app);
  for (const CLI::App* command : all) {
    const std::string name = command == &app ? "" : command->get_name();
    std::string line;
    for (const CLI::App* inner : commands_of(*command)) line += " " + inner->get_name();
    for (const CLI::Option* option : command->get_options()) {
      const std::string choices = choices_of(*option);
      if (option->get_positional()) line += " " + choices;
      for (const std::string& option_name : option->get_lnames()) {
        line += " --" + option_name;
        if (!choices.empty()) values += "    '" + name + " --" + option_name + "') words='" + choices + "' ;;\n";
      }
    }
    words += "    '" + name + "') words='" + line + "' ;;\n";
  }
  std::printf(R"(_teeny_words() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command='' words='' i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    if [[ ${COMP_WORDS[i]} != -* ]]; then command=${COMP_WORDS[i]}; break; fi
  done
  case $command in
%s  esac
  case "$command $before" in
%s  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
)",
              words.c_str(), values.c_str());
}

void print_fish(const CLI::App& app) {
  std::printf("complete -c teeny -f -n __fish_use_subcommand -l help -l version\n");
  for (const CLI::App* command : commands_of(app)) {
    std::printf("complete -c teeny -f -n __fish_use_subcommand -a %s -d %s\n", command->get_name().c_str(),
                quoted(command->get_description()).c_str());
    for (const CLI::Option* option : command->get_options()) {
      const std::string choices = choices_of(*option);
      if (option->get_positional() && choices.empty()) continue;
      std::string line = "complete -c teeny -n '__fish_seen_subcommand_from " + command->get_name() + "'";
      for (const std::string& name : option->get_snames()) line += " -s " + name;
      for (const std::string& name : option->get_lnames()) line += " -l " + name;
      if (option->get_type_size() > 0 && !option->get_positional()) line += " -r";
      if (!choices.empty()) line += " -f -a " + quoted(choices);
      std::printf("%s -d %s\n", line.c_str(), quoted(option->get_description()).c_str());
    }
  }
}

/// The texts of --help, as they are, in man(7)'s language: there a backslash commands, and a point that begins a line.
void print_man(const CLI::App& app) {
  const auto print_page = [](const std::string& title, const CLI::App& command) {
    const std::string text = replaced(replaced(help(command, 76), "\\", "\\e"), "-", "\\-");
    std::printf(".SH %s\n.nf\n%s.fi\n", title.c_str(), replaced(text, "\n", "\n\\&").c_str());
  };
  std::printf(".TH TEENY 1 \"\" \"teeny %s\"\n.SH NAME\nteeny \\- networks and files of tensors\n",
              std::string(kVersion).c_str());
  print_page("DESCRIPTION", app);
  for (const CLI::App* command : commands_of(app)) print_page("\"teeny " + command->get_name() + '"', *command);
}

int completion(const Options& options) {
  if (options.shell == "man") return print_man(*options.app), 0;
  if (options.shell == "fish") return print_fish(*options.app), 0;
  if (options.shell != "bash" && options.shell != "zsh")
    throw WrongUsage(options.shell + ": no such shell; bash, zsh, fish, or man for the manual page");
  if (options.shell == "zsh") std::printf("#compdef teeny\nautoload -U +X bashcompinit && bashcompinit\n");
  print_bash(*options.app);
  // In zsh the text is a function that is called each time, or it is sourced.
  if (options.shell == "zsh")
    std::printf("[[ $funcstack[1] = _teeny ]] && _bash_complete -o default -F _teeny_words ||\n  ");
  std::printf("complete -o default -F _teeny_words teeny\n");
  return 0;
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
  command->add_option("SHELL", options->shell, "bash, zsh, fish or man")->required()->type_name("bash|zsh|fish|man");
  options->app = &app;
}

}  // namespace teeny::tool
