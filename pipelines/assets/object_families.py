"""Families of near-twin concepts among the object pictures, and the split that keeps them together.

A family is a set of concepts whose pictures differ only in gender, hair, age, colour, direction, number or phase. If
one member were a test concept and another a training concept, recalling the twin would look like decoding.
"""

from __future__ import annotations

import numpy as np

_PERSON = {"1F468", "1F469", "1F9D1"}
_MODIFIERS = {"FE0F", "200D", "2640", "2642", "1F9B0", "1F9B1", "1F9B2", "1F9B3", "27A1"}

# Twins that the codepoints do not show, by the source's short names.
_NAMED_FAMILIES = """
boy girl child adult
older_man older_woman older_adult
mermaid merman merperson
blond-haired-woman blond-haired-man person_with_blond_hair
woman_with_beard man_with_beard bearded_person
santa mrs_claus mx_claus
prince princess person_with_crown
pregnant_woman pregnant_man pregnant_person
dancer man_dancing
breast-feeding man_feeding_baby woman_feeding_baby person_feeding_baby
bust_in_silhouette busts_in_silhouette
new_moon waxing_crescent_moon first_quarter_moon moon full_moon waning_gibbous_moon last_quarter_moon waning_crescent_moon
crescent_moon first_quarter_moon_with_face last_quarter_moon_with_face
new_moon_with_face full_moon_with_face
earth_africa earth_americas earth_asia
mostly_sunny barely_sunny partly_sunny_rain partly_sunny
rain_cloud snow_cloud lightning thunder_cloud_and_rain
closed_umbrella umbrella umbrella_with_rain_drops umbrella_on_ground beach_with_umbrella
snowman snowman_without_snow
hourglass hourglass_flowing_sand
sunrise sunrise_over_mountains
city_sunset city_sunrise cityscape night_with_stars
apple green_apple
beer beers
house house_with_garden house_buildings derelict_house_building
mountain snow_capped_mountain
musical_note notes
ticket admission_tickets
blue_heart green_heart yellow_heart purple_heart black_heart white_heart brown_heart orange_heart light_blue_heart grey_heart pink_heart heart hearts
two_hearts revolving_hearts sparkling_heart heartpulse heartbeat
closed_book green_book blue_book orange_book
notebook notebook_with_decorative_cover ledger
first_place_medal second_place_medal third_place_medal
medal sports_medal
point_up_2 point_down point_left point_right point_up
+1 -1
left-facing_fist right-facing_fist
rightwards_hand leftwards_hand
leftwards_pushing_hand rightwards_pushing_hand
palm_down_hand palm_up_hand
fist facepunch
hand raised_hand_with_fingers_splayed raised_back_of_hand
mailbox_closed mailbox mailbox_with_mail mailbox_with_no_mail
inbox_tray outbox_tray
email e-mail incoming_envelope envelope_with_arrow
mute speaker sound loud_sound
bell no_bell
lock unlock lock_with_ink_pen closed_lock_with_key
mag mag_right
camera camera_with_flash
movie_camera video_camera
file_folder open_file_folder
date calendar spiral_calendar_pad
chart_with_upwards_trend chart_with_downwards_trend
page_with_curl page_facing_up
pushpin round_pushpin
paperclip linked_paperclips
battery low_battery
cd dvd
iphone calling
phone telephone_receiver
yen dollar euro pound
bullettrain_side bullettrain_front
train2 metro light_rail tram train
bus oncoming_bus minibus trolleybus
car oncoming_automobile taxi oncoming_taxi police_car oncoming_police_car blue_car
traffic_light vertical_traffic_light
airplane airplane_departure airplane_arriving small_airplane
hatching_chick baby_chick hatched_chick
bird black_bird
dog2 service_dog guide_dog
cat2 black_cat
camel dromedary_camel
ox water_buffalo cow2
smile_cat joy_cat smiley_cat heart_eyes_cat smirk_cat kissing_cat pouting_cat crying_cat_face scream_cat
see_no_evil hear_no_evil speak_no_evil
grinning smiley smile grin
ear ear_with_hearing_aid
speech_balloon left_speech_bubble
empty_nest nest_with_eggs
motorized_wheelchair manual_wheelchair
leaves fallen_leaf
post_office european_post_office
red_envelope love_letter
"""  # noqa: E501 (a family a line)
_FAMILY_OF_NAME = {name: line.split()[0] for line in _NAMED_FAMILIES.strip().splitlines() for name in line.split()}


def family_of(entry: dict) -> str:
    """Name the family of one emoji of ``emoji.json``; a concept without twins is a family of its own.

    Parameters
    ----------
    entry : dict
        One element of ``emoji.json`` with the keys ``unified``, ``short_name`` and ``subcategory``.

    Returns
    -------
    str
    """
    if entry["short_name"] in _FAMILY_OF_NAME:
        return _FAMILY_OF_NAME[entry["short_name"]]
    if entry["subcategory"] == "family" or entry["short_name"] == "family":
        return "families_and_couples"
    if entry["short_name"].startswith("clock"):
        return "clock_faces"
    points = [p for p in entry["unified"].split("-") if p not in _MODIFIERS]
    if points and points[0] in _PERSON:
        points[0] = "person"
    return _FAMILY_OF_NAME["adult"] if points == ["person"] else "-".join(points)


def split_concepts(families: dict[str, str], keep_in_train: set[str], n_test: int, n_validation: int, seed: int):
    """Assign every concept to train, validation or test so that no family is divided.

    Families with several members stay in training (two dozen clock faces among the test pictures would measure how
    well clock hands are read); validation and test are drawn from the concepts without a twin.

    Parameters
    ----------
    families : dict of str to str
        Concept to family.
    keep_in_train : set of str
        Concepts that must be training concepts.
    n_test, n_validation : int
        Number of concepts to hold out.
    seed : int

    Returns
    -------
    dict of str to str
        Concept to ``"train"``, ``"validation"`` or ``"test"``.
    """
    missing = keep_in_train - families.keys()
    if missing:
        raise ValueError(f"concepts to keep in training are not in the set: {sorted(missing)}")
    names = list(families.values())
    singles = sorted(c for c, f in families.items() if names.count(f) == 1 and c not in keep_in_train)
    if len(singles) < n_test + n_validation:
        raise ValueError(f"{len(singles)} concepts without a twin; {n_test + n_validation} are to be held out")
    order = np.random.default_rng(seed).permutation(len(singles))
    split = dict.fromkeys(families, "train")
    for position, index in enumerate(order[: n_test + n_validation]):
        split[singles[index]] = "test" if position < n_test else "validation"
    return split
