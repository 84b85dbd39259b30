// An angle with two M18 holes: for the far side of through-beam pairs, for the tubes of the infrared emitters, or
// where the sensors cannot sit in the box.
include <common.scad>

thick = 5;
foot = 40;
height = 45;

assert(spacing >= 80 && spacing <= 120, "spacing: 80 to 120 mm separate people from hands");
assert(height >= m18_washer + thick + 6, "a nut touches the foot");

length = spacing + m18_washer + 16;
assert((length - spacing - m18_washer) / 2 >= thick + 1, "a nut touches a rib");

difference() {
    union() {
        cube([length, foot, thick]);
        cube([length, thick, height]);
        for (x = [0, length / 2 - thick / 2, length - thick]) translate([x, 0, 0])
            rotate([90, 0, 90]) linear_extrude(thick) polygon([[0, 0], [foot - 4, 0], [0, height - 4]]);
    }
    for (side = [-1, 1])
        translate([length / 2 + side * spacing / 2, -1, thick + (height - thick) / 2])
            rotate([-90, 0, 0]) cylinder(d = m18_hole, h = thick + 2);
    for (x = [length / 4, 3 * length / 4]) hull() for (dx = [-3, 3]) translate([x + dx, foot - 10, 0]) hole(4.5, thick);
}
