// An angle with two M18 holes for the far side of through-beam pairs and for the tubes of the infrared emitters. Its foot goes
// onto the wall beside the door, like the left side of the box: the beams then lie equally far from the wall on both sides.
// It is printed on its plate, foot up.
include <common.scad>

thick = 5;
foot = 45;               // how far the foot stands behind the plate
height = 45;

length = first_beam + spacing + m18_washer / 2 + 4;

assert(spacing >= 80 && spacing <= 120, "spacing: 80 to 120 mm separate people from hands");
assert(height >= m18_washer + 2 * thick + 2, "a nut touches a rib");
assert(first_beam - m18_washer / 2 >= thick + 1, "a nut touches the foot");

difference() {
    union() {
        cube([length, height, thick]);
        foot_plate(thick, foot, height);
    }
    for (i = [0, 1]) translate([first_beam + i * spacing, height / 2, 0]) hole(m18_hole, thick);
}
