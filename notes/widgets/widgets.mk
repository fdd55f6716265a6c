# The pages of the book that can be played with: make widgets, or make book WASM=1. They are an optional part: teeny,
# compiled for the browser by Debian's emscripten, and pictures by Graphviz. Nothing is loaded from a network, so they
# open from a file.
#   views.html    a tensor, the movements applied to it, and the View that teeny has made of them
#   digit.html    draw a digit; what each layer of the network of examples/mnist makes of it
#   fusion.html   the kernels of some programs, with and without FUSE=0, and what each computes
.PHONY: widgets
WIDGETS  := build/book/widgets
W        := build/wasm
to_mine  := notes/widgets
missing  := $(strip $(if $(shell command -v em++),,emscripten) $(if $(shell command -v dot),,graphviz))
kMost    := 300000# bytes of a page with all it loads, gzipped

ifneq (,$(missing))
widgets:
	@echo 'the widgets of the book are left out: they need the package $(missing)'
else

# acorn, which em++ minifies with, lies where only Debian's node looks.
export NODE_PATH := $(NODE_PATH):/usr/share/nodejs
# -idirafter: of the system's headers only those of packages like nlohmann-json3-dev, which are headers alone.
wasm_flags = -std=c++20 $(if $(fast_in_browser),-O3,-Oz) -fwasm-exceptions -Wall -Wextra $(if $(WERROR),-Werror) -I. \
  -include $(to_mine)/shim.h -idirafter /usr/include
fast_in_browser = $(filter tinyops/reference/reference.cpp tinyops/base/shape.cpp,$<)
wasm_link = -O2 -fwasm-exceptions -sMODULARIZE -sENVIRONMENT=web -sFILESYSTEM=0 -sALLOW_MEMORY_GROWTH \
  -sTOTAL_STACK=1MB -sSUPPORT_LONGJMP=0 -sEXPORTED_FUNCTIONS=_malloc,_free -sEXPORTED_RUNTIME_METHODS=ccall --no-entry

# What needs no file, no thread and no other kernel than the reference's.
for_browser := tinyops/ranks/alone.cpp $(wildcard tinyops/base/*.cpp tinyops/common/*.cpp tinyops/reference/*.cpp \
  $(addsuffix /*.cpp,$(addprefix teeny/,debug graph schedule tensor mlops functional nn)))
for_browser := $(filter-out teeny/schedule/effects.cpp,$(for_browser))  # small.cpp has less
wasm_object  = $(patsubst %.cpp,$W/%.o,$1)

$W/%.o: %.cpp $(to_mine)/widgets.mk
	@mkdir -p $(@D)
	$(call say,compile,$< for the browser)
	$Qem++ $(wasm_flags) -MMD -MP -c $< -o $@
-include $(patsubst %.cpp,$W/%.d,$(for_browser) $(to_mine)/views.cpp $(to_mine)/digit.cpp)

.SECONDARY: $(patsubst %,$W/%.js,views digit) $(call wasm_object,$(addprefix $(to_mine)/,views.cpp digit.cpp small.cpp))
$W/libteeny.a: $(call wasm_object,$(for_browser))
	@rm -f $@
	$(call say,archive,$@)
	$Qemar rcs $@ $^

$W/%.js: $W/$(to_mine)/%.o $W/$(to_mine)/small.o $W/libteeny.a
	$(call say,link,$@)
	$Qem++ $(wasm_link) -sEXPORT_NAME=teeny_$* $^ -o $@

# A page may not read the file beside it when it is opened without a server: the program is a string in a script.
$(WIDGETS)/%-program.js: $W/%.js
	@mkdir -p $(@D)
	@{ cat $W/$*.js; printf ';const PROGRAM = "%s";\n' "$$(gzip -9nc $W/$*.wasm | base64 -w0)"; } > $@

# The network is trained here; nobody commits what was learned.
$W/mnist.safetensors: $B/mnist
	@mkdir -p $(@D)
	@echo '  train the network of the digit page'
	$Q$(RUN) $< --seed 1 --save $@
$B/notes/widgets/digit_data $B/notes/widgets/programs: %: %.o $(LIBTEENY)
	$(call say,link,$@)
	$Q$(CXX) $(FLAGS) $(CXXFLAGS) $< $(LIBTEENY) $(LIBS) -o $@
-include $(wildcard $B/notes/widgets/*.d)
$(WIDGETS)/digit-data.js: $B/notes/widgets/digit_data $W/mnist.safetensors
	@mkdir -p $(@D)
	$Q$^ $@
$(WIDGETS)/fusion-data.js: $B/notes/widgets/programs $(to_mine)/fusion.py
	@mkdir -p $(@D)
	@echo '  run the programs of the fusion explorer'
	$Qpython3 $(to_mine)/fusion.py $< $@

widget_files := $(notdir $(wildcard $(to_mine)/*.html $(to_mine)/*.css $(to_mine)/*.js))
$(widget_files:%=$(WIDGETS)/%): $(WIDGETS)/%: $(to_mine)/%
	@mkdir -p $(@D)
	@cp $< $@

views_page  := views.html frame.js views.js load.js widgets.css views-program.js
digit_page  := digit.html frame.js digit.js load.js widgets.css digit-program.js digit-data.js
fusion_page := fusion.html frame.js fusion.js widgets.css fusion-data.js
all_pages := $(addprefix $(WIDGETS)/,$(sort $(views_page) $(digit_page) $(fusion_page)))
widgets: $(all_pages) ## build the book's pages that can be played with
	@cd $(WIDGETS) && check() { \
	  bytes=$$(for f in "$$@"; do gzip -9nc $$f; done | wc -c); \
	  echo "  $(WIDGETS)/$$1  $$((bytes / 1000)) KB gzipped, with all that it loads"; \
	  [ $$bytes -le $(kMost) ] || { echo "$$1 is larger than $$(($(kMost) / 1000)) KB" >&2; exit 1; }; }; \
	check $(views_page); check $(digit_page); check $(fusion_page)

endif
