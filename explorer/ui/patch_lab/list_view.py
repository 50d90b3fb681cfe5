"""A person's own list of prompts in the Patch lab: pasted or uploaded, answered in every column, as a table."""

import pandas as pd
import streamlit as st

from explorer.errors import ExplorerError
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from explorer.report.prompt_table import answers_frame, column_words, refusals_sentence
from explorer.runs.reader import Run
from explorer.serve.generation import SHOWN
from explorer.serve.history import origin_of, set_digest
from explorer.serve.pairs import PairService
from explorer.serve.prompt_list import MOST_PROMPTS, ListRequest, PromptList, read_prompts, read_upload
from explorer.serve.samples import decoding_words
from explorer.ui.patch_lab.choice import Controls, check_direction, check_tokens, control_of, how_words, share
from explorer.ui.patch_lab.generation_view import draft_of
from explorer.ui.plain import plain, show_problem
from explorer.ui.typeset import Typeset, signed
from explorer.ui.waiting import ask_instead, look_every, shows_waiting

_LIST, _ORIGIN = "patch-list", "patch-list-origin"


def show_list(run: Run, service: PairService, controls: Controls, neurons: NeuronSet | None) -> None:
    """The list's box, its button, and the table that grows while it is answered.

    Args:
        run: the run.
        service: where it is answered.
        controls: what is set now.
        neurons: the set that this chooses; None where there is none.
    """
    work: PromptList | None = st.session_state.get(_LIST)
    with st.expander("Your own list of prompts", icon=":material/checklist:", key="list-open"):
        left, right = st.columns([3, 2], gap="medium")
        pasted = left.text_area(
            f"Prompts, one a line, up to {MOST_PROMPTS}", height=120, key="list-text", persist_state="session"
        )
        uploaded = right.file_uploader(
            "or a file", ["txt", "csv", "tsv", "jsonl", "json"], key="list-file", max_upload_size=1
        )
        st.caption("Each prompt is asked by itself: without the system prompt and without earlier turns.")
        if st.button("Answer all", icon=":material/playlist_play:", key="list-start", disabled=neurons is None):
            try:
                prompts = read_upload(uploaded.name, uploaded.getvalue()) if uploaded else read_prompts(pasted)
                work = _ask(run, service, controls, neurons, prompts)
            except ExplorerError as problem:
                show_problem(str(problem))
        if work is not None:
            st.fragment(_draw, run_every=look_every(work) if work.active else None)(service, work, run)


def _ask(
    run: Run, service: PairService, controls: Controls, neurons: NeuronSet | None, prompts: tuple[str, ...]
) -> PromptList:
    """Queue the list in place of the one before."""
    if neurons is None:
        raise ExplorerError("There is no set of neurons to patch; choose one above.")
    patch = Patch(neurons, controls.strength, controls.where)
    request = ListRequest(
        prompts,
        neurons,
        control_of(controls, neurons)[0],
        check_tokens(controls.tokens),
        check_direction(controls.direction),
        patch.strength,
        patch.positions,
        draft_of(run),
        controls.sampling,
    )
    work = ask_instead(service, _LIST, PromptList(request))
    st.session_state[_ORIGIN] = origin_of(run, controls.ranking)
    return work


def _draw(service: PairService, work: PromptList, run: Run) -> None:
    before, every = work.active, look_every(work)
    work.drain()
    if work.active and look_every(work) != every:
        st.rerun()
    asked = work.request
    if work.problem:
        show_problem(work.problem)
    elif work.notice:
        st.warning(plain(work.notice), icon=":material/timer_off:")
    if work.active:
        with st.container(horizontal=True, vertical_alignment="center"):
            if not shows_waiting(service, work):
                st.progress(work.share, text=f"{len(work.answers)} of {len(asked.prompts)} prompts")
            st.button("Stop", icon=":material/stop:", key="list-stop", on_click=work.stop)
    frame = answers_frame(asked.prompts, work.answers)
    if not frame.empty:
        names = [name for name in SHOWN if f"verdict_{name}" in frame]
        st.markdown(refusals_sentence(frame, names, asked.direction))
        _show_table(frame, names, asked.direction)
        how = "".join(f" · {word}" for word in how_words(asked.strength, asked.positions))
        decoding = f"{decoding_words(asked.sampling)}, up to {asked.max_new_tokens} tokens"
        st.caption(f"Patched: {share(asked.neurons)}, {asked.neurons.label}{how}; {decoding}.")
        if not work.active:
            _show_downloads(_with_origin(frame, work), run)
    if before and not work.active:
        st.rerun()


def _show_table(frame: pd.DataFrame, names: list[str], direction: str) -> None:
    numbers = Typeset(frame, {f"cost_{name}": signed(1) for name in names})
    columns = {"prompt": st.column_config.TextColumn("Prompt", width="medium", pinned=True)}
    order = ["prompt"]
    for name in names:
        columns[f"verdict_{name}"] = st.column_config.TextColumn(column_words(name, direction), width="small")
        columns[f"cost_{name}"] = numbers.column(f"cost_{name}", "cost", width="small")
        columns[f"answer_{name}"] = st.column_config.TextColumn(f"{column_words(name, direction)} says", width="medium")
        order += [f"verdict_{name}"]
    order += [f"answer_{name}" for name in names] + [f"cost_{name}" for name in names]
    st.dataframe(
        numbers.data,
        hide_index=True,
        column_order=order,
        column_config=columns,
        alt="Your prompts with the verdict, the answer and the cost of every column",
    )


def _with_origin(frame: pd.DataFrame, work: PromptList) -> pd.DataFrame:
    """The table with what is needed to make it again, in columns of their own."""
    asked = work.request
    about = {
        "patched_set": asked.neurons.label,
        "patched_neurons": len(asked.neurons),
        "neurons_sha256": set_digest(asked.neurons),
        "direction": asked.direction,
        "strength": asked.strength,
        "positions": asked.positions,
        "max_new_tokens": asked.max_new_tokens,
        "decoding": decoding_words(asked.sampling),
        **st.session_state.get(_ORIGIN, {}),
    }
    return frame.assign(**about)


def _show_downloads(frame: pd.DataFrame, run: Run) -> None:
    with st.container(horizontal=True):
        for kind, mime, text in (
            ("CSV", "text/csv", frame.to_csv(index=False)),
            ("JSON", "application/json", frame.to_json(orient="records", force_ascii=False, indent=2)),
        ):
            st.download_button(
                kind,
                text,
                f"{run.name}-own-prompts.{kind.lower()}",
                mime,
                icon=":material/download:",
                on_click="ignore",
                key=f"list-{kind}",
            )
